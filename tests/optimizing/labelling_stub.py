"""A loopback server that speaks OpenAI's Chat Completions, and labels tickets by a rule.

It knows the labels of every ticket in examples/data, and gives them where it is shown demonstrations, or told `KEYWORD`
in its instruction. Otherwise it is lazy: the first choice offered, whatever the ticket says. Asked for an instruction,
as the optimisers do, it proposes one with the keyword. It reads the prompts of DSPy's ChatAdapter and JSONAdapter.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TICKETS = Path(__file__).parents[2] / "examples" / "data" / "tickets.jsonl"
LABELS = {row["body"]: row for row in map(json.loads, TICKETS.read_text("utf-8").splitlines())}
KEYWORD = "Weigh every word"
INSTRUCTION = f"{KEYWORD} of the ticket before you answer."


@dataclass(frozen=True)
class Prompt:
    """What DSPy asks: the messages, and the fields to be written with what is said of their form."""

    messages: list[dict[str, Any]]

    @property
    def system(self) -> str:
        return str(self.messages[0]["content"])

    @property
    def question(self) -> str:
        return str(self.messages[-1]["content"])

    @property
    def fields(self) -> dict[str, str]:
        listed = self.system.partition("Your output fields are:")[2].partition("All interactions")[0]
        names = re.findall(r"^\d+\. `(\w+)` \(", listed, re.MULTILINE)
        return {name: self._note(name) for name in names}

    def _note(self, name: str) -> str:
        found = re.search(rf"\{{{name}\}}\s*#? ?note: ([^\n]*)", self.system)
        return found[1] if found else ""

    @property
    def is_instructive(self) -> bool:
        return KEYWORD in self.system or any(message["role"] == "assistant" for message in self.messages)

    @property
    def labels(self) -> list[str]:
        if not self.is_instructive:
            return []
        found = [row for body, row in LABELS.items() if body in self.question]
        return [str(label) for row in found for label in row.values()]


def answer(prompt: Prompt) -> str:
    """Return the text of the answer: markers, or a JSON object where that is asked for."""
    values = {name: _value(prompt, name, note) for name, note in prompt.fields.items()}
    if "JSON object" in prompt.system.partition("All interactions")[2]:
        return json.dumps(values)
    sections = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
    return "\n\n".join([*sections, "[[ ## completed ## ]]"])


def _value(prompt: Prompt, name: str, note: str) -> str:
    if name in ("proposed_instruction", "new_instruction"):
        return INSTRUCTION
    if name == "module_advice":
        listed = prompt.question.partition("[[ ## module_names ## ]]")[2].partition("[[ ##")[0]
        return json.dumps(dict.fromkeys(re.findall(r"nodes\['[^']+'\]", listed), INSTRUCTION))
    if "one of: " in note:
        options = [each.strip() for each in note.partition("one of: ")[2].split(";")]
        return next((each for each in options if each in prompt.labels), options[0])
    if "True or False" in note:
        return "True"
    return "[]" if '"array"' in note else f"Some words for {name}."


@dataclass
class LabellingStub:
    """The server, in threads of its own, and how often it was asked."""

    prompts: list[Prompt] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[LabellingStub]:
        """Serve while this lasts."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="labelling-stub")
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what is sent for a request."""
        prompt = Prompt(body["messages"])
        self.prompts.append(prompt)
        return {
            "id": f"stub-{len(self.prompts)}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer(prompt)}}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }


def _handler(stub: LabellingStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 2**16  # headers and body in one packet, or each answer waits for an acknowledgement

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            sent = json.dumps(stub.completion(asked)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
