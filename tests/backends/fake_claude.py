"""A stand-in for the command `claude`, as two of its versions behave; what it answers is replayed from tests/data.

It is run as a program, not imported. FAKE_CLAUDE says what happens, FAKE_VERSION which version it is. It writes what it
was given, and when it ran, into the folder `seen` beside itself. Like the real one it reads the files that "@path"
names and takes what begins with "/" for a command, unless it is told not to.
"""

# ruff: noqa: T201  it prints, as the real one does

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

SCENARIO = os.environ.get("FAKE_CLAUDE", "ok")
VERSION = os.environ.get("FAKE_VERSION", "2.1.330")
NUMBER = tuple(map(int, VERSION.split(".")))
HERE = Path(__file__).resolve().parent
SEEN = {"pid": os.getpid(), "argv": sys.argv[1:], "env": dict(os.environ), "cwd": str(Path.cwd()), "files": []}

SWITCHES = {
    "-p",
    "--verbose",
    "--no-session-persistence",
    "--strict-mcp-config",
    "--include-partial-messages",
    "--bare",
}
OPTIONS = {
    *("--model", "--tools", "--setting-sources", "--system-prompt-file", "--json-schema"),
    *("--input-format", "--output-format"),
}
# What Ajv knows of a schema in strict mode.
KNOWN = {
    *("$ref", "$defs", "type", "enum", "const", "title", "description", "default", "examples", "deprecated"),
    *("required", "properties", "additionalProperties", "patternProperties", "propertyNames", "items", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "anyOf", "oneOf", "allOf", "not"),
}


def main() -> int:
    if sys.argv[1:] == ["--version"]:
        print(os.environ.get("FAKE_SAYS", f"{VERSION} (Claude Code)"))
        return 0
    flags = parsed(sys.argv[1:])
    SEEN["instructions"] = Path(flags["--system-prompt-file"]).read_text("utf8")
    write_down()
    if SCENARIO == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if SCENARIO == "child":
        begin_child()
    line = sys.stdin.readline()
    SEEN["stdin"] = line
    message = json.loads(line)
    content, is_verbatim = message["message"]["content"], NUMBER >= (2, 1, 248) and message.get("client_composed")
    if content.startswith("/") and not is_verbatim:
        return end([result("success", is_error=False, result="Available commands: /help", modelUsage={})])
    if not (is_verbatim or "--bare" in flags or os.environ.get("CLAUDE_CODE_DISABLE_ATTACHMENTS") == "1"):
        SEEN["files"] = [path for path in re.findall(r"@(/[\w./-]+)", content) if Path(path).is_file()]
    write_down()
    code = answer(flags)
    SEEN["ended"] = time.monotonic()
    write_down()
    return code


def parsed(argv: list[str]) -> dict[str, str]:
    flags, words = {}, iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name in SWITCHES and not equals:
            flags[name] = ""
        elif name in OPTIONS:
            flags[name] = value if equals else next(words)
        else:
            sys.exit(f"error: unknown option '{word}'")
    if flags.get("--output-format") == "stream-json" and "--verbose" not in flags:
        sys.exit("Error: When using --print, --output-format=stream-json requires --verbose")
    return flags


def write_down() -> None:
    folder = HERE / "seen"
    folder.mkdir(exist_ok=True)
    SEEN.setdefault("began", time.monotonic())
    draft = folder / f"{os.getpid()}.draft"
    draft.write_text(json.dumps(SEEN), "utf8")
    draft.rename(folder / f"{os.getpid()}.json")


def begin_child() -> None:
    """Run a tool's command, in a session of its own as the real one does; it ends when this is asked to end."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
    SEEN["child"] = child.pid

    def end_both(*_: object) -> None:
        child.kill()
        child.wait()
        sys.exit(143)

    signal.signal(signal.SIGTERM, end_both)
    write_down()


def answer(flags: dict[str, str]) -> int:
    schema = json.loads(flags["--json-schema"])
    unknown = [key for key in keywords(schema) if key not in KNOWN and not (key == "format" and NUMBER > (2, 1, 197))]
    SEEN["unknown"] = unknown
    if unknown and NUMBER > (2, 1, 197):
        sys.exit(f'Error: --json-schema is not a valid JSON Schema: strict mode: unknown keyword: "{unknown[0]}"')
    if unknown or SCENARIO == "dropped":
        return end(recording("prose"))
    if SCENARIO in ("stalled", "deaf", "child"):
        time.sleep(600)
    if SCENARIO == "slow":
        time.sleep(0.15)
    if SCENARIO == "silent":
        print("boom: something broke", file=sys.stderr)
        return int(os.environ["FAKE_CODE"])
    value = answer_for(SEEN["instructions"], schema)
    if SCENARIO == "endless":
        sys.stdout.write("x" * (65 * 2**20))
    if SCENARIO == "noisy":
        print("no JSON at all\n[1, 2]\n{}\n\x1b[31mred\n" + json.dumps({"type": "of tomorrow", "event": 1}))
    events = recording("ok" if SCENARIO in ("slow", "giant", "endless", "noisy", "corrected") else SCENARIO)
    streams = "--include-partial-messages" in flags
    return end([*(deltas(value) if streams else ()), *with_value(events, value)])


def answer_for(instructions: str, schema: dict) -> dict:
    """Return the answer that FAKE_ANSWERS holds for the node to be written, else one made from the schema."""
    if "FAKE_ANSWERS" in os.environ and "The options:" not in instructions:
        [*_, name] = re.findall(r"^(?:Task|You write the fields of): (\w+)$", instructions, re.MULTILINE)
        value = json.loads(Path(os.environ["FAKE_ANSWERS"]).read_text("utf8"))[name]
    else:
        value = sample(schema, schema)
        if "fields" in (decided := value.get("decision", {})) and "FAKE_ANSWERS" in os.environ:
            decided["fields"] = json.loads(Path(os.environ["FAKE_ANSWERS"]).read_text("utf8"))[decided["choice"]]
    if SCENARIO == "corrected" and "Your answer was rejected" not in SEEN["stdin"]:
        return {name: {"not": "fitting"} for name in value}
    return dict.fromkeys(value, "x" * 2**20) if SCENARIO == "giant" else value


def recording(name: str) -> list[dict]:
    text = (HERE / "recorded" / VERSION / f"{name}.jsonl").read_text("utf8")
    return [event for event in map(json.loads, text.splitlines()) if event["type"] != "stream_event"]


def with_value(events: list[dict], value: dict) -> list[dict]:
    """Return *events* with *value* where the recorded answer was good."""
    for event in events:
        if "structured_output" in event:
            event |= {"structured_output": value, "result": json.dumps(value)}
    return events


def deltas(value: dict) -> list[dict]:
    text = json.dumps(value)
    size = max(len(text) // 12, 1)
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    start = {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "StructuredOutput"}}
    told = [
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": part}} for part in parts
    ]
    return [{"type": "stream_event", "event": event} for event in (start, *told)]


def result(subtype: str, **more: object) -> dict:
    return {"type": "result", "subtype": subtype, "num_turns": 0, "total_cost_usd": 0, **more}


def end(events: list[dict]) -> int:
    for event in events:
        print(json.dumps(event), flush=True)
    return int(bool(events[-1].get("is_error")))


def keywords(schema: object) -> list[str]:
    if not isinstance(schema, dict):
        return []
    named = [each for key in ("properties", "$defs") for each in schema.get(key, {}).values()]
    listed = [each for key in ("anyOf", "oneOf", "allOf") for each in schema.get(key, ())]
    single = [schema.get(key) for key in ("items", "additionalProperties", "propertyNames", "not")]
    return [*schema, *(key for part in (*named, *listed, *single) for key in keywords(part))]


def sample(schema: dict, root: dict) -> object:  # noqa: PLR0911  a case each
    """Return a value that fits *schema*, a format being what its description says."""
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return sample(schema[key][0], root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "type" not in schema:
        return "anything"
    if schema["type"] == "object":
        return {name: sample(part, root) for name, part in schema.get("properties", {}).items()}
    if schema["type"] == "array":
        return [sample(schema["items"], root) for _ in range(schema.get("minItems", 0))]
    if schema["type"] == "string":
        text = "https://example.com/" if "format: uri" in schema.get("description", "") else "a text"
        return text.ljust(schema.get("minLength", 0), ".")
    return {"integer": schema.get("minimum", 7), "number": 1.5, "boolean": True, "null": None}[schema["type"]]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
