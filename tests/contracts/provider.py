"""A provider on loopback, with real sockets, that plays each scenario of the contract; and a back-end for it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from weft import BaseLM, LMConnectionError, LMRefusalError, LMResponse, LMResponseError, LMTimeoutError, Usage
from weft.backends._failures import failure_of
from weft.backends._prompt import instructions, question
from weft.backends._samples import sample
from weft.testing._checks import CANARY

STATUSES = ("400", "401", "403", "404", "413", "429", "500", "529")
MEGABYTES = 2


def answer_to(schema, seed="contract"):
    """Return a value that fits *schema*: what a provider answers that has no model."""
    return sample(schema, seed)


def wrong_answer_to(schema):
    """Return a JSON object that fits no schema of the contract."""
    return {name: {"not": "fitting"} for name in schema.get("properties", {})}


def giant_answer_to(schema):
    """Return a value that fits *schema*, its first text some megabytes long."""
    answer = answer_to(schema)
    name = next(name for name, value in answer.items() if isinstance(value, str))
    return {**answer, name: "giant " * (MEGABYTES * 2**20 // 6)}


class Calls(BaseHTTPRequestHandler):
    """Answers calls as the first part of their path says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        scenario = self.path.strip("/")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if scenario in STATUSES:
            key = self.headers["Authorization"].removeprefix("Bearer ")
            headers = {"Retry-After": "7"} if scenario == "429" else {}
            return self.send(int(scenario), json.dumps({"error": f"no,\nnot with {key}"}), **headers)
        return getattr(self, f"play_{scenario}")(asked)

    def play_ok(self, asked):
        self.answer(answer_to(asked["schema"]))

    def play_repair(self, asked):
        is_told_why = "Your answer was rejected" in asked["prompt"]
        self.answer(answer_to(asked["schema"]) if is_told_why else wrong_answer_to(asked["schema"]))

    def play_refusal(self, asked):
        self.answer("I would rather not.", stop="refusal")

    def play_truncated(self, asked):
        text = json.dumps(answer_to(asked["schema"]))
        self.send(200, message(text[: len(text) // 2], "length"))

    def play_giant(self, asked):
        has_text = any(each.get("type") == "string" for each in asked["schema"]["properties"].values())
        self.answer(giant_answer_to(asked["schema"]) if has_text else answer_to(asked["schema"]))

    def play_html(self, asked):
        self.send(200, "<html><h1>Bad gateway</h1></html>", kind="text/html")

    def play_dropped(self, asked):
        self.begin(200, 1000)
        self.wfile.write(b'{"text": "')
        self.close_connection = True

    def play_stalled(self, asked):
        self.begin(200, 1000)
        self.wfile.write(b'{"text": "')
        self.wfile.flush()
        self.server.closing.wait()

    def play_slow(self, asked):
        body = message(json.dumps(answer_to(asked["schema"]))).encode()
        self.begin(200, len(body))
        size = len(body) // 5 + 1
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            self.wfile.flush()
            self.server.closing.wait(0.05)

    def answer(self, data, stop="end"):
        self.send(200, message(json.dumps(data), stop))

    def send(self, status, text, kind="application/json", **headers):
        body = text.encode()
        self.begin(status, len(body), kind, **{name.replace("_", "-"): value for name, value in headers.items()})
        self.wfile.write(body)

    def begin(self, status, length, kind="application/json", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": length, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


def message(text, stop="end"):
    return json.dumps({"text": text, "stop": stop, "usage": {"input": 20, "output": 5}})


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Calls)
        self.closing = threading.Event()

    def handle_error(self, request, client_address):
        pass  # a client that is cancelled goes without a word


@contextmanager
def provider():
    """Give the URL of a provider that answers while this lasts."""
    server = Server()
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.closing.set()
        server.shutdown()
        serving.join()
        server.server_close()


class ReferenceLM(BaseLM):
    """A back-end in one method: encode, call, decode, map what fails by table."""

    def __init__(self, url, key=CANARY, seconds=30.0):
        self.url = url
        self.key = key
        self.seconds = seconds

    async def generate(self, request, on_partial=None):
        asked = {"system": instructions(request), "prompt": question(request), "schema": request.schema}
        answer = self.decoded(await self.sent(asked))
        if answer["stop"] == "refusal":
            raise LMRefusalError("the model declined to answer", backend="reference")
        if answer["stop"] == "length":
            raise LMResponseError("the answer was cut off", "Allow more output.", backend="reference")
        usage = Usage(1, answer["usage"]["input"], answer["usage"]["output"])
        return LMResponse(answer["text"], usage, "reference")

    async def sent(self, asked):
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            async with httpx.AsyncClient(timeout=self.seconds, verify=False, trust_env=False) as client:
                return await client.post(self.url, json=asked, headers=headers)
        except httpx.TimeoutException as error:
            raise LMTimeoutError(f"no answer within {self.seconds:g} s", backend="reference") from error
        except httpx.TransportError as error:
            raise LMConnectionError("the provider was not reached", backend="reference") from error

    def decoded(self, response):
        if response.is_error:
            wait = response.headers.get("Retry-After")
            said = response.json()["error"].replace(self.key, "…")
            raise failure_of(response.status_code, said, "reference", retry_after=wait and float(wait))
        try:
            return response.json()
        except ValueError as error:
            raise LMResponseError("the provider answered something other than JSON", backend="reference") from error

    def __repr__(self):
        return f"ReferenceLM({self.url!r})"
