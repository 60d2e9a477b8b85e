"""How each API says things: what a request asks for, and a planned answer as a whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

PIECES = 12
INPUT, CACHED, OUTPUT = 100, 40, 20


@dataclass(frozen=True)
class Asked:
    """What a request asks for: an answer by a tool, or text that fits the schema."""

    tools: dict[str, Any]
    schema: Any
    has_tool_results: bool
    streams: bool


@dataclass(frozen=True)
class Plan:
    """What is answered: a text, calls of tools by name and JSON text, and why it ends."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    stop: Literal["end", "tool", "length", "refusal"] = "end"


class Wire(Protocol):
    """One API."""

    def asked(self, body: Any) -> Asked: ...

    def whole(self, plan: Plan, body: Any) -> Any: ...

    def pieces(self, plan: Plan, body: Any) -> Iterator[tuple[str, str]]: ...


def wire_of(path: str) -> Wire:
    return next(wire for end, wire in WIRES.items() if path.endswith(end))


def cut(text: str) -> list[str]:
    """Return *text* in pieces, as they would stream."""
    size = max(1, len(text) // PIECES)
    return [text[start : start + size] for start in range(0, len(text), size)]


class Anthropic:
    """The Messages API."""

    stops: ClassVar = {"end": "end_turn", "tool": "tool_use", "length": "max_tokens", "refusal": "refusal"}

    def asked(self, body):
        tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools") or [] if "input_schema" in tool}
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        contents = [each["content"] for each in body["messages"] if isinstance(each["content"], list)]
        has_results = any(block["type"] == "tool_result" for content in contents for block in content)
        return Asked(tools, schema, has_results, bool(body.get("stream")))

    def _usage(self, output):
        cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": CACHED}
        return {"input_tokens": INPUT - CACHED, "output_tokens": output, **cache}

    def _message(self, body, **values):
        return {"id": "msg_stub", "type": "message", "role": "assistant", "model": body["model"]} | values

    def whole(self, plan, body):
        texts = [{"type": "text", "text": plan.text}] if plan.text else []
        calls = [
            {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": _partly(text)}
            for number, (name, text) in enumerate(plan.calls)
        ]
        ends = {"stop_reason": self.stops[plan.stop], "stop_sequence": None}
        return self._message(body, content=[*texts, *calls], usage=self._usage(OUTPUT), **ends)

    def pieces(self, plan, body):
        yield from self._events(plan, body)

    def _events(self, plan, body):
        def event(kind, **values):
            return kind, json.dumps({"type": kind, **values})

        start = self._message(body, content=[], stop_reason=None, stop_sequence=None, usage=self._usage(1))
        yield event("message_start", message=start)
        blocks = [({"type": "text", "text": ""}, "text_delta", "text", plan.text)] if plan.text else []
        for number, (name, text) in enumerate(plan.calls):
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
            blocks.append((block, "input_json_delta", "partial_json", text))
        for index, (block, kind, key, text) in enumerate(blocks):
            yield event("content_block_start", index=index, content_block=block)
            for piece in cut(text):
                yield event("content_block_delta", index=index, delta={"type": kind, key: piece})
            yield event("content_block_stop", index=index)
        delta = {"stop_reason": self.stops[plan.stop], "stop_sequence": None}
        yield event("message_delta", delta=delta, usage={"output_tokens": OUTPUT})
        yield event("message_stop")


def _partly(text):
    """Return the value of JSON that may be cut off: whole messages hold what came."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


class Chat:
    """The Chat Completions API."""

    stops: ClassVar = {"end": "stop", "tool": "tool_calls", "length": "length", "refusal": "stop"}

    def asked(self, body):
        tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools") or []}
        schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
        has_results = any(each["role"] == "tool" for each in body["messages"])
        return Asked(tools, schema, has_results, bool(body.get("stream")))

    def _base(self, body, kind):
        return {"id": "chatcmpl-stub", "created": 1_760_000_000, "model": body["model"], "object": kind}

    def _usage(self):
        details = {"prompt_tokens_details": {"cached_tokens": CACHED}}
        return {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT, **details}

    def whole(self, plan, body):
        said = {"content": None, "refusal": plan.text} if plan.stop == "refusal" else {"content": plan.text or None}
        calls = [
            {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": text}}
            for number, (name, text) in enumerate(plan.calls)
        ]
        message = {"role": "assistant", **said, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": self.stops[plan.stop], "logprobs": None}
        return {**self._base(body, "chat.completion"), "choices": [choice], "usage": self._usage()}

    def pieces(self, plan, body):
        base = self._base(body, "chat.completion.chunk")

        def chunk(delta, reason=None):
            return "", json.dumps({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

        yield chunk({"role": "assistant", "content": None})
        for piece in cut(plan.text):
            yield chunk({"refusal" if plan.stop == "refusal" else "content": piece})
        for number, (name, text) in enumerate(plan.calls):
            call = {"index": number, "id": f"call_{number}", "type": "function"}
            yield chunk({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]})
            for piece in cut(text):
                yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        yield chunk({}, self.stops[plan.stop])
        yield "", json.dumps({**base, "choices": [], "usage": self._usage()})
        yield "", "[DONE]"


class Responses:
    """The Responses API."""

    def asked(self, body):
        tools = {tool["name"]: tool["parameters"] for tool in body.get("tools") or [] if tool["type"] == "function"}
        schema = ((body.get("text") or {}).get("format") or {}).get("schema")
        has_results = any(each.get("type") == "function_call_output" for each in body["input"])
        return Asked(tools, schema, has_results, bool(body.get("stream")))

    def _usage(self):
        details = {
            "input_tokens_details": {"cached_tokens": CACHED},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        return {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT, **details}

    def whole(self, plan, body):
        kind = "refusal" if plan.stop == "refusal" else "output_text"
        said = {"refusal": plan.text} if plan.stop == "refusal" else {"text": plan.text, "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        texts = [{**message, "content": [{"type": kind, **said}]}] if plan.text else []
        calls = [
            {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": name, "arguments": text}
            for n, (name, text) in enumerate(plan.calls)
        ]
        is_cut = plan.stop == "length"
        return {
            "id": "resp_stub",
            "object": "response",
            "created_at": 1_760_000_000,
            "model": body["model"],
            "output": [*texts, *calls],
            "usage": self._usage(),
            "error": None,
            "status": "incomplete" if is_cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "metadata": {},
            "instructions": None,
        }

    def pieces(self, plan, body):
        whole = self.whole(plan, body)
        number = iter(range(10_000))

        def event(kind, **values):
            return kind, json.dumps({"type": kind, "sequence_number": next(number), **values})

        started = {**whole, "output": [], "status": "in_progress", "usage": None, "incomplete_details": None}
        yield event("response.created", response=started)
        for index, item in enumerate(whole["output"]):
            where = {"output_index": index, "item_id": item["id"]}
            if item["type"] == "message":
                yield event("response.output_item.added", output_index=index, item={**item, "content": []})
                (content,) = item["content"]
                kind = content["type"]
                where["content_index"] = 0
                text = content.get("text") or content.get("refusal")
                empty = {**content, kind.removeprefix("output_"): ""}
                yield event("response.content_part.added", **where, part=empty)
                for piece in cut(text):
                    yield event(f"response.{kind}.delta", **where, delta=piece, logprobs=[])
                yield event(f"response.{kind}.done", **where, **{kind.removeprefix("output_"): text}, logprobs=[])
                yield event("response.content_part.done", **where, part=content)
            else:
                yield event("response.output_item.added", output_index=index, item={**item, "arguments": ""})
                for piece in cut(item["arguments"]):
                    yield event("response.function_call_arguments.delta", **where, delta=piece)
                done = {"arguments": item["arguments"], "name": item["name"]}
                yield event("response.function_call_arguments.done", **where, **done)
            yield event("response.output_item.done", output_index=index, item=item)
        yield event(f"response.{whole['status']}", response=whole)


WIRES: dict[str, Wire] = {"/messages": Anthropic(), "/chat/completions": Chat(), "/responses": Responses()}
