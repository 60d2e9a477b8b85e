"""A loopback server that speaks as Anthropic (Messages) and OpenAI (Chat Completions, Responses) do.

What it does is named in its address, ``http://127.0.0.1:PORT/s/<scenario>/v1/…``; ``~tag`` after the scenario keeps the
requests of one test apart. Answers are made from the schema that a request asks for.

ok         a good answer                        html       a page instead of JSON
repair     bad answers until told why           dropped    the connection ends
prose      words first, then good answers       stalled    no answer ever
refusal    the model declines                   slow       an answer after a while, piece by piece if streamed
truncated  half an answer, cut off              tool       a call of each tool, then an answer
giant      an answer of a megabyte

400, 401 (which repeats the key), 403, 404, 413, 429, 500 and 529 are answered with that status.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import lm_wires
from dspy_form import answer_in_form, fields_in, in_form
from lm_wires import Asked, Plan

from weft.backends._samples import sample

SLOW = 0.4
ANSWERS = ("final_result", "StructuredOutput")
STATUSES = {
    400: ("invalid_request_error", "the stub does not like this"),
    401: ("authentication_error", "invalid key: {key}"),
    403: ("permission_error", "not for this key"),
    404: ("not_found_error", "model: nobody knows it"),
    413: ("request_too_large", "too large"),
    429: ("rate_limit_error", "too many"),
    500: ("api_error", "out of order"),
    529: ("overloaded_error", "Overloaded"),
}
HEADERS = {429: ["retry-after: 7"], 500: ["retry-after-ms: 5"], 529: ["retry-after-ms: 5"]}


@dataclass(frozen=True)
class Received:
    """A request that came: where, what it held, and over which connection."""

    place: str
    path: str
    headers: dict[str, str]
    text: str
    connection: int

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Stub:
    """The server, in a thread and an event loop of its own, and what it has seen."""

    answers: dict[str, Any] = field(default_factory=dict)  # by the name of the node to be written
    received: list[Received] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    port: int = 0
    open_connections: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _connections: int = 0

    def url(self, scenario: str, tag: str = "") -> str:
        """Return the address at which *scenario* is played."""
        return f"http://127.0.0.1:{self.port}/s/{scenario}{f'~{tag}' if tag else ''}"

    @contextmanager
    def running(self) -> Iterator[Stub]:
        """Serve while this lasts."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="lm-stub")
        thread.start()
        try:
            server = asyncio.run_coroutine_threadsafe(self._serve(), loop).result()
            yield self
            asyncio.run_coroutine_threadsafe(_close(server), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=64 * 2**20)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self.open_connections += 1
        number = self._connections
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                async for received in _requests(reader, number):
                    self.received.append(received)
                    await self._answer_or_leave(received, reader, writer)
        finally:
            self.open_connections -= 1
            writer.close()

    async def _answer_or_leave(self, received: Received, reader: Any, writer: asyncio.StreamWriter) -> None:
        """Answer, unless who asks goes away before."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        answering = asyncio.ensure_future(self._answer(received, writer))
        leaving = asyncio.ensure_future(_gone(reader))
        try:
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ConnectionResetError
            await answering
        finally:
            answering.cancel()
            leaving.cancel()
            self.under_way -= 1

    async def _answer(self, received: Received, writer: asyncio.StreamWriter) -> None:
        scenario = received.place.partition("~")[0]
        self._counts[received.place] += 1
        if scenario.isdigit():
            await self._refuse(int(scenario), received, writer)
        elif scenario == "dropped":
            writer.transport.abort()
        elif scenario == "stalled":
            await asyncio.Event().wait()
        elif scenario == "html":
            await _send(writer, 200, b"<html>Welcome!</html>", ["content-type: text/html"])
        else:
            await self._play(scenario, received, writer)

    async def _refuse(self, status: int, received: Received, writer: asyncio.StreamWriter) -> None:
        kind, said = STATUSES[status]
        key = received.headers.get("x-api-key") or received.headers.get("authorization", "")
        said = said.format(key=key.removeprefix("Bearer "))
        body = {"type": "error", "error": {"type": kind, "message": said, "code": str(status)}}
        await _send(writer, status, json.dumps(body).encode(), HEADERS.get(status, []))

    async def _play(self, scenario: str, received: Received, writer: asyncio.StreamWriter) -> None:
        wire = lm_wires.wire_of(received.path)
        asked = wire.asked(received.body)
        if not (asked.tools or asked.schema):
            asked = replace(asked, schema=schema_in(received.body))
        told = ("Your answer was rejected", "[[ ## previous_attempts ## ]]")
        if scenario == "repair" and not any(each in received.text for each in told):
            scenario = "rejected"
        if (fields := fields_in(received.body)) is not None:
            plan = plan_in_form(scenario, fields, self.answers)
            await asyncio.sleep(SLOW if scenario == "slow" else 0)
            await _send(writer, 200, json.dumps(wire.whole(plan, received.body)).encode(), [])
            return
        plan = plan_of(scenario, asked, self._counts[received.place], self.answers.get(target_in(received.text)))
        if not asked.streams:
            await asyncio.sleep(SLOW if scenario == "slow" else 0)
            await _send(writer, 200, json.dumps(wire.whole(plan, received.body)).encode(), [])
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        pieces = list(wire.pieces(plan, received.body))
        for event, data in pieces:
            text = f"event: {event}\ndata: {data}\n\n" if event else f"data: {data}\n\n"
            await asyncio.sleep(SLOW / len(pieces) if scenario == "slow" else 0)
            writer.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def target_in(text: str) -> str:
    """Return the name of the node that a request asks for; nothing for a choice."""
    named = re.findall(r"You write the fields of: (\w+)|Task: (\w+)\\n", text)
    return "".join(named[0]) if named else ""


def plan_of(scenario: str, asked: Asked, number: int, answer: Any = None) -> Plan:
    """Return what is answered to the *number*-th request of its kind: *answer*, if it is given."""
    if scenario == "refusal":
        return Plan("I would rather not.", stop="refusal")
    if scenario == "prose" and number == 1:
        return Plan("Let me think about it in words first.")
    functions = [(name, schema) for name, schema in asked.tools.items() if not name.startswith(ANSWERS)]
    if scenario == "tool" and not asked.has_tool_results:
        return Plan("", [(name, json.dumps(sample(schema, name))) for name, schema in functions], "tool")
    name = next((name for name in asked.tools if name.startswith(ANSWERS)), "")
    value = answer or sample(asked.schema or asked.tools.get(name, {"type": "string"}), "stub")
    if scenario == "giant":
        value = {key: "x" * 2**20 if isinstance(each, str) else each for key, each in value.items()}
    if scenario == "rejected":
        value = {"unexpected": 1}
    text = json.dumps(value)
    text, stop = (text[: len(text) // 2], "length") if scenario == "truncated" else (text, "tool" if name else "end")
    return Plan("", [(name, text)], stop) if name else Plan(text, stop=stop)


def plan_in_form(scenario: str, fields: dict[str, Any], answers: dict[str, Any]) -> Plan:
    """Return what is answered to a request in DSPy's form."""
    if scenario == "refusal":
        return Plan("I would rather not.", stop="refusal")
    if scenario == "rejected":
        return Plan(in_form(dict.fromkeys(fields, '{"not": "fitting"}')))
    text = answer_in_form(fields, answers.values())
    if scenario == "giant":
        text = in_form(dict.fromkeys(fields, "giant " * 2**18))
    return Plan(text[: len(text) // 2], stop="length") if scenario == "truncated" else Plan(text)


def schema_in(value: Any) -> Any:
    """Return the schema that a request's words hold; None if they hold none."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return next((found for each in inside if (found := schema_in(each)) is not None), None)
    start = value.find('{"properties"') if isinstance(value, str) else -1
    return None if start < 0 else json.JSONDecoder().raw_decode(value[start:])[0]


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _gone(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed the connection."""
    while not reader.at_eof():  # noqa: ASYNC110  a reader tells of the end by reading, which takes from the next request
        await asyncio.sleep(0.01)


async def _requests(reader: asyncio.StreamReader, connection: int) -> AsyncIterator[Received]:
    while line := await reader.readline():
        path = line.decode().split()[1].partition("?")[0]
        headers = {}
        while (header := (await reader.readline()).decode("latin1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        text = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        place = path.split("/")[2] if path.startswith("/s/") else "ok"
        yield Received(place, path, headers, text, connection)


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: list[str]) -> None:
    kinds = [] if any(each.startswith("content-type") for each in headers) else ["content-type: application/json"]
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "request-id: req_stub", *kinds, *headers]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
    await writer.drain()
