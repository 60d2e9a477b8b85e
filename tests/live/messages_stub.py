"""A stand-in for the Anthropic Messages API on loopback: answers each request with a call of its only tool.

Its path says how: /fails/401 with that status; /stalls not at all.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


class Stub(BaseHTTPRequestHandler):
    """One request; `bodies` holds those of all."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[dict[str, Any]]] = []
    is_over = threading.Event()

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "count_tokens" in self.path:
            return self._send(200, b'{"input_tokens": 1}')
        self.bodies.append(body)
        if self.path.startswith("/fails/"):
            error = {"type": "error", "error": {"type": "api_error", "message": "no"}}
            return self._send(int(self.path.split("/")[2]), json.dumps(error).encode())
        if self.path.startswith("/stalls/"):
            self.is_over.wait(60)
        return self._send(200, b"".join(map(_event, _answer(body))), "text/event-stream")

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def started() -> ThreadingHTTPServer:
    """Return a server that runs until it is shut down."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _answer(body: dict[str, Any]) -> list[dict[str, Any]]:
    usage = {"input_tokens": 100, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0, "output_tokens": 1}
    message = {"id": f"msg_{len(Stub.bodies)}", "type": "message", "role": "assistant", "model": body["model"]}
    tools = body.get("tools") or []
    if tools:
        text = json.dumps(sample(tools[0]["input_schema"], tools[0]["input_schema"]))
        block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": text[at : at + 8]} for at in range(0, len(text), 8)]
    else:
        block, deltas = {"type": "text", "text": ""}, [{"type": "text_delta", "text": "no tool"}]
    why = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
    return [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": why, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    ]


def sample(schema: dict[str, Any], root: dict[str, Any]) -> Any:  # noqa: PLR0911  a case each
    """Return a value that fits *schema*, formats and patterns aside."""
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return sample(schema[key][0], root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object":
        return {name: sample(part, root) for name, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [sample(schema["items"], root) for _ in range(schema.get("minItems", 0))]
    if schema.get("type") in ("integer", "number"):
        return schema.get("minimum", 7)
    return {"boolean": True, "null": None}.get(schema.get("type", ""), "stub text")
