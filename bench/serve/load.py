#!/usr/bin/env python3
"""Load and faults for `glimmer serve` with the demo model. A development tool: Python's standard library only.

    bench/serve/load.py build/release/glimmer                    all of it, with the figures of docs/perf.md
    bench/serve/load.py build/release/glimmer streams --seconds 10
    bench/serve/load.py build/release/glimmer idle kill fuzz

streams  many at once; every answer must be, to the letter, the one that the same prompt had alone
idle     connections whose stream has begun and says nothing; the memory that they take
kill     clients that break off, stop reading or close half of their connection, beside others that must not notice;
         then no page of keys and values may be in use
fuzz     bodies that are wrong in every way; each must be answered, none with a 5xx, and the server goes on

Exits with 1 if anything is not as it must be.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import struct
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "serve"))
from support.server import Server, metric, request_bytes  # noqa: E402

failures = []


def fail(text):
    failures.append(text)
    if len(failures) <= 20:
        print(f"  FAILED: {text}", flush=True)


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


class Client:
    """One connection, kept alive."""

    def __init__(self, server):
        self.server, self.reader, self.writer = server, None, None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port, limit=1 << 24)

    async def send(self, method, path, body=None):
        if self.writer is None:
            await self.open()
        self.writer.write(request_bytes(method, path, {"Content-Type": "application/json"}, body))
        await self.writer.drain()

    async def head(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers

    async def chunks(self):
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = (await self.reader.readexactly(size + 2))[:-2]
            if not data:
                return
            yield data

    async def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        return await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def ask(self, method, path, body=None):
        await self.send(method, path, body)
        status, headers = await self.head()
        data = await self.body(headers)
        if headers.get("connection") == "close":
            await self.close()
        return status, data

    async def events(self):
        """Of a stream: the data of each, as it comes."""
        rest = b""
        async for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n\n")
            for event in whole:
                for line in event.split(b"\n"):
                    if line.startswith(b"data: "):
                        yield line[6:]
        if rest:
            fail(f"a stream ends within an event: {rest!r}")

    async def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    def reset(self):
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.reader = self.writer = None


async def metrics_of(server):
    client = Client(server)
    _, text = await client.ask("GET", "/metrics")
    await client.close()
    return text.decode()


async def wait_until_idle(server, what, seconds=20):
    """Nothing runs or waits, and no page is in use; the seconds that it took."""
    began = time.monotonic()
    while True:
        text = await metrics_of(server)
        left = {name: metric(text, name) for name in (
            "glimmer_requests_running", "glimmer_requests_waiting", "glimmer_kv_pages_used")}
        if all(value == 0 for value in left.values()):
            return time.monotonic() - began
        if time.monotonic() - began > seconds:
            fail(f"after {what} there are still {left}")
            return time.monotonic() - began
        await asyncio.sleep(0.01)


# ---- requests whose answers are known ----

def prompts(count):
    source = random.Random(5)
    return [f"What is {source.randint(10, 99)} + {source.randint(10, 99)}?" for _ in range(count)]


def chat_body(prompt, stream):
    return json.dumps({"model": "demo", "messages": [{"role": "user", "content": prompt}], "temperature": 0,
                       "max_completion_tokens": 200, "stream": stream,
                       **({"stream_options": {"include_usage": True}} if stream else {})}).encode()


def message_body(prompt, stream):
    return json.dumps({"model": "demo", "messages": [{"role": "user", "content": prompt}], "temperature": 0,
                       "max_tokens": 200, "stream": stream, "thinking": {"type": "enabled", "budget_tokens": 1024},
                       }).encode()


async def chat_alone(client, prompt):
    status, data = await client.ask("POST", "/v1/chat/completions", chat_body(prompt, False))
    assert status == 200, data
    message = json.loads(data)["choices"][0]["message"]
    return (message.get("reasoning_content") or "", message["content"] or "")


class Stream:
    """The text of a streamed answer, and when its pieces came."""

    def __init__(self):
        self.reasoning, self.content, self.times, self.ended, self.tokens = "", "", [], False, 0

    def add(self, reasoning, content):
        if reasoning or content:
            self.times.append(time.monotonic())
        self.reasoning += reasoning
        self.content += content


async def chat_stream(client, prompt, stream):
    await client.send("POST", "/v1/chat/completions", chat_body(prompt, True))
    status, headers = await client.head()
    if status != 200:
        raise RuntimeError(f"status {status}: {(await client.body(headers))[:200]}")
    async for data in client.events():
        if data == b"[DONE]":
            stream.ended = True
            continue
        event = json.loads(data)
        if event.get("usage"):
            stream.tokens = event["usage"]["completion_tokens"]
        for choice in event["choices"]:
            delta = choice["delta"]
            stream.add(delta.get("reasoning_content") or "", delta.get("content") or "")


async def message_stream(client, prompt, stream):
    await client.send("POST", "/v1/messages", message_body(prompt, True))
    status, headers = await client.head()
    if status != 200:
        raise RuntimeError(f"status {status}: {(await client.body(headers))[:200]}")
    async for data in client.events():
        event = json.loads(data)
        if event["type"] == "content_block_delta":
            delta = event["delta"]
            stream.add(delta.get("thinking", ""), delta.get("text", ""))
        elif event["type"] == "message_delta":
            stream.tokens = event["usage"]["output_tokens"]
        stream.ended |= event["type"] == "message_stop"


async def known_answers(server, count):
    client = Client(server)
    known = {prompt: await chat_alone(client, prompt) for prompt in prompts(count)}
    await client.close()
    return known


# ---- streams ----

async def run_streams(server, options):
    known = await known_answers(server, 64)
    first, between, done, tokens = [], [], [0], [0]
    end = time.monotonic() + options.seconds

    async def one(number):
        source = random.Random(number)
        client = Client(server)
        ask = message_stream if number % 4 == 3 else chat_stream
        while time.monotonic() < end:
            prompt = source.choice(list(known))
            stream, began = Stream(), time.monotonic()
            try:
                await ask(client, prompt, stream)
            except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
                fail(f"a stream was lost: {error!r}")
                await client.close()
                continue
            if not stream.ended:
                fail("a stream has no end")
            if (stream.reasoning, stream.content) != known[prompt]:
                fail(f"{prompt!r} was answered {(stream.reasoning, stream.content)}, alone {known[prompt]}")
            first.append(stream.times[0] - began)
            between.extend(b - a for a, b in zip(stream.times, stream.times[1:]))
            done[0] += 1
            tokens[0] += stream.tokens
        await client.close()

    began = time.monotonic()
    await asyncio.gather(*(one(i) for i in range(options.streams)))
    seconds = time.monotonic() - began
    await wait_until_idle(server, "all streams")
    print(f"  {done[0]} answers, each as it is alone; {options.streams} at once for {seconds:.0f} s: "
          f"{tokens[0] / seconds:.0f} tokens/s")
    print(f"  first token: p50 {1e3 * percentile(first, .5):.0f} ms, p99 {1e3 * percentile(first, .99):.0f} ms")
    print(f"  between pieces: p50 {1e3 * percentile(between, .5):.1f} ms, p99 {1e3 * percentile(between, .99):.1f} ms")
    if not done[0]:
        fail("there was no answer")


# ---- idle ----

async def run_idle(server, options):
    """One request holds the only place while its reader rests; the others wait for theirs, their streams begun."""
    text = await metrics_of(server)
    before = metric(text, "process_resident_memory_bytes")
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    holder.connect((server.host, server.port))
    # Its tokens are so large that they do not fit into all buffers together: the engine has to let it rest.
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 2000, "stream": True,
                       "ignore_eos": True, "logprobs": True, "top_logprobs": 20, "temperature": 0}).encode()
    holder.sendall(request_bytes("POST", "/v1/chat/completions", {}, body))
    await asyncio.sleep(1.5)
    clients = [Client(server) for _ in range(options.idle)]
    for client in clients:
        await client.send("POST", "/v1/chat/completions", chat_body("What is 1 + 1?", True))
    statuses = [(await asyncio.wait_for(client.head(), 60))[0] for client in clients]
    if statuses != [200] * len(clients):
        fail(f"of {len(clients)} streams {sum(status != 200 for status in statuses)} did not begin")
    await asyncio.sleep(2)
    text = await metrics_of(server)
    growth = (metric(text, "process_resident_memory_bytes") - before) / 1e6
    waiting = metric(text, "glimmer_requests_waiting")
    print(f"  {len(clients)} streams that wait ({waiting:.0f} in the engine's queue): {growth:.1f} MB more, "
          f"{metric(text, 'glimmer_http_connections'):.0f} connections")
    if waiting < len(clients) - 1:
        fail(f"only {waiting:.0f} wait: they were not idle")
    if growth >= 100:
        fail("they take 100 MB or more")
    holder.close()
    for client in clients:
        await client.close()
    seconds = await wait_until_idle(server, "all idle clients are gone")
    print(f"  nothing runs, waits or holds a page {1e3 * seconds:.0f} ms after they are gone")


# ---- kill ----

async def run_kill(server, options):
    known = await known_answers(server, 16)
    stop = asyncio.Event()
    checked = [0]

    async def bystander(number):
        source, client = random.Random(number), Client(server)
        while not stop.is_set():
            prompt, stream = source.choice(list(known)), Stream()
            try:
                await chat_stream(client, prompt, stream)
                if (stream.reasoning, stream.content) != known[prompt]:
                    fail(f"beside killed clients {prompt!r} was answered {(stream.reasoning, stream.content)}")
                checked[0] += 1
            except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
                fail(f"a bystander's stream was lost: {error!r}")
                await client.close()
        await client.close()

    async def victim(number):
        source, client = random.Random(1000 + number), Client(server)
        for _ in range(options.kills // 32):
            how = source.choice(["reset", "close", "half", "rest", "early"])
            body = json.dumps({"prompt": f"Count {source.randint(0, 10**9)}: one, two,", "max_tokens": 1500,
                               "stream": source.random() < 0.8, "ignore_eos": True, "temperature": 0.9,
                               "n": source.choice([1, 1, 3])}).encode()
            await client.send("POST", "/v1/completions", body)
            if how != "early":
                await asyncio.sleep(source.random() * 0.2)
            if how == "half":
                client.writer.write_eof()
                try:
                    await asyncio.wait_for(client.reader.read(), 10)
                except (OSError, asyncio.TimeoutError) as error:
                    fail(f"a half-closed connection was not closed: {error!r}")
            elif how == "rest":
                client.writer.transport.pause_reading()
                await asyncio.sleep(0.3)
            if how == "reset":
                client.reset()
            await client.close()

    bystanders = [asyncio.create_task(bystander(i)) for i in range(4)]
    await asyncio.gather(*(victim(i) for i in range(32)))
    stop.set()
    await asyncio.gather(*bystanders)
    seconds = await wait_until_idle(server, "the clients were killed")
    text = await metrics_of(server)
    gone = metric(text, "glimmer_http_outcomes_total", outcome="client_gone") or 0
    print(f"  {gone:.0f} clients gone in the middle, {checked[0]} answers beside them as they are alone; "
          f"no page in use {1e3 * seconds:.0f} ms later")
    if gone < options.kills // 4 or not checked[0]:
        fail("too few clients were killed, or no answer checked, to tell anything")


# ---- fuzz ----

PATHS = {"0": "/v1/chat/completions", "1": "/v1/completions", "2": "/v1/responses", "3": "/v1/messages",
         "4": "/v1/messages/count_tokens"}
MORE_SEEDS = [("/tokenize", {"content": "hi", "add_special": True}), ("/detokenize", {"tokens": [1, 2, 3]}),
              ("/apply-template", {"messages": [{"role": "user", "content": "hi"}]})]
STRANGE = [None, True, False, 0, -1, 1, -2**31, 2**31, 2**53, -2**63, 2**64, 10**30, 0.5, -0.5, 1e308, -1e308, 1e-320, "",
           "x", "-1", "1e9", "\x00", "\ud800", "é" * 100, "<|user|>", "</think>", "<tool_call>", "[DONE]", [], {}, [[]],
           [None], {"": None}, [1, "a", {}], {"type": "text"}, {"type": "function"}, ["x"] * 300, [0] * 300,
           "9" * 400, "{}", "[", "text", "auto", "required", "none", {"type": "json_object"}]
WHOLE = [b"", b" ", b"null", b"0", b'"x"', b"[]", b"[[", b"{", b'{"a"', b'{"a":}', b'{"a":1,}', b'{"a":1 "b":2}', b"{'a':1}",
         b'{"a":01}', b'{"a":+1}', b'{"a":.5}', b'{"a":1.}', b'{"a":1e}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":0x10}',
         b'{"a":"\n"}', b'{"a":"\\x41"}', b'{"a":"\\u12"}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}',
         b'\xef\xbb\xbf{}', b"\xff\xfe{\x00}\x00", b'{"a":1}{"b":2}', b'{"a":1}//', b"[" * 100000, b'{"a":' * 100000,
         b'{"a":1,"a":2}', b"\x00", b'{"a":tru}', b'{"messages":' + b"[" * 200 + b"]" * 200 + b"}"]


def seeds():
    found = [(path, value) for path, value in MORE_SEEDS]
    folder = os.path.join(ROOT, "fuzz", "corpus", "http")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        if data[:1].decode("latin-1") in PATHS:
            found.append((PATHS[data[:1].decode()], json.loads(data[1:])))
    assert len(found) >= 7
    return found


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, path + (key,))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def fuzzed(source, all_seeds):
    """A path and a body for it."""
    path, value = source.choice(all_seeds)
    kind = source.random()
    if kind < 0.05:
        return path, source.choice(WHOLE)
    for _ in range(source.choice([1, 1, 1, 2, 4])):
        where = source.choice(list(places(value)))
        value = replaced(value, where, source.choice(STRANGE))
    if kind < 0.15 and isinstance(value, dict):
        value[source.choice(["frobnicate", "user", "store", "n", "stop", "max_tokens", "top_k"])] = source.choice(STRANGE)
    # What is right by chance must not take long.
    if isinstance(value, dict) and path in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
        name = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        if source.random() < 0.9 and value.get("max_completion_tokens", 0) in (0, 10):
            value.setdefault(name, 5)
    data = bytearray(json.dumps(value, ensure_ascii=source.random() < 0.5).encode("utf-8", "surrogatepass"))
    if kind > 0.7:
        for _ in range(source.randint(1, 6)):
            at = source.randrange(len(data) + 1)
            if source.random() < 0.5:
                data[at:at + source.randint(1, 4)] = b""
            else:
                data[at:at] = source.randbytes(source.randint(1, 4))
    return path, bytes(data)


async def run_fuzz(server, options):
    all_seeds, statuses = seeds(), {}

    async def one(number):
        source, client = random.Random(number), Client(server)
        for _ in range(options.bodies // 16):
            path, body = fuzzed(source, all_seeds)
            try:
                status, data = await asyncio.wait_for(client.ask("POST", path, body), 60)
            except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                fail(f"{path} {body[:300]!r} was not answered: {error!r}")
                await client.close()
                continue
            statuses[status] = statuses.get(status, 0) + 1
            if status not in (200, 400, 404, 413, 429):
                fail(f"{path} {body[:300]!r} was answered {status} {data[:200]!r}")
            elif status != 200:
                answer = json.loads(data)
                anthropic = path.startswith("/v1/messages")
                if not answer["error"]["message"] or (answer.get("type") == "error") != anthropic:
                    fail(f"{path}: an error of another shape: {data[:200]!r}")
        await client.close()

    began = time.monotonic()
    await asyncio.gather(*(one(i) for i in range(16)))
    await wait_until_idle(server, "fuzzed bodies", 60)
    print(f"  {sum(statuses.values())} bodies in {time.monotonic() - began:.0f} s: "
          + ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())))
    known = await known_answers(server, 1)
    if "=" not in "".join(next(iter(known.values()))):
        fail("the model does not answer as before")


MODES = {"streams": (run_streams, []),
         "idle": (run_idle, ["--max-sequences", "1", "--max-waiting", "4000", "--write-timeout", "600"]),
         "kill": (run_kill, ["--max-waiting", "1000"]),
         "fuzz": (run_fuzz, [])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("modes", nargs="*", metavar="mode", help=", ".join(MODES))
    parser.add_argument("--seconds", type=float, default=60, help="of streams")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=640)
    parser.add_argument("--bodies", type=int, default=10000)
    parser.add_argument("--flags", default="", help="more flags of glimmer serve")
    options = parser.parse_args()
    for mode in options.modes or MODES:
        work, flags = MODES[mode]
        print(f"{mode}:", flush=True)
        before = len(failures)
        try:
            with Server(options.binary, *flags, *options.flags.split(), command=["serve"]) as server:
                asyncio.run(work(server, options))
                if not server.alive():
                    fail("the server does not live")
        except Exception as error:  # the next mode still tells something
            fail(f"{mode}: {error!r}")
        if len(failures) > before:
            print(f"  {len(failures) - before} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
