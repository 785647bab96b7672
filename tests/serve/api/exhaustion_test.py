"""Requests that would exhaust, block or end the process: memory in multiples of what was sent, and who waits for whom."""

import json
import os
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, Server, metric, request_bytes, send  # noqa: E402

BINARY = os.environ["GLIMMER"]
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "models", "demo")
FLAGS = ("-m", MODEL, "-q", "--kv-memory", "0.05")
HELLO = [{"role": "user", "content": "What is 17 + 25?"}]
MIB = 1 << 20


@pytest.fixture(scope="module")
def server():
    with Server(BINARY, *FLAGS, "--io-threads", "1", command=["serve"]) as running:
        running.ask("POST", "/tokenize", body=b'{"prompt": "Hello"}')
        yield running


def status_bytes(server, key):
    with open(f"/proc/{server.process.pid}/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


def ask(server, path, fields):
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    with server.connect(timeout=100) as connection:
        send(connection, "POST", path, body=body)
        return Reader(connection).answer()


def ask_measured(server, path, fields):
    """The answer, and the memory that it took at its peak."""
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = status_bytes(server, "VmRSS")
    answer = ask(server, path, fields)
    return answer, status_bytes(server, "VmHWM") - before


def multiplying(combiner, levels=4, width=10, values=12000):
    definitions = {"d0": {"enum": [1] * values}}
    for i in range(levels):
        definitions[f"d{i + 1}"] = {combiner: [{"$ref": f"#/$defs/d{i}"}] * width}
    return {"type": "object", "properties": {"p": {"$ref": f"#/$defs/d{levels}"}}, "$defs": definitions}


def circular():
    return {"type": "object", "properties": {"p": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}] * 50}, "b": {"allOf": [{"$ref": "#/$defs/a"}] * 50}}}


def one_large_value():
    return {"type": "object", "properties": {f"p{i}": {"$ref": "#/$defs/c"} for i in range(2000)},
            "$defs": {"c": {"const": ["x" * 8] * 5000}}}


SCHEMAS = {"anyOf": multiplying("anyOf"), "oneOf": multiplying("oneOf", levels=30, width=20, values=3000),
           "allOf": multiplying("allOf"), "circle": circular(), "const": one_large_value(),
           "root": {"$ref": "#/$defs/d4", "$defs": multiplying("anyOf")["$defs"]}}


def with_tool(path, schema):
    if path == "/v1/responses":
        return {"input": "x", "max_output_tokens": 1, "tools": [{"type": "function", "name": "f", "parameters": schema}]}
    if path == "/v1/messages":
        return {"messages": HELLO, "max_tokens": 1, "tools": [{"name": "f", "input_schema": schema}]}
    return {"messages": HELLO, "max_tokens": 1,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_that_multiply(server, path, name):
    answer, memory = ask_measured(server, path, with_tool(path, SCHEMAS[name]))
    assert answer.status in (200, 400), answer.body  # 400: as a prompt it is too long
    assert memory < 64 * MIB


def test_schemas_of_many_tools(server):
    tools = [{"type": "function", "function": {"name": f"f{i}", "parameters": multiplying("anyOf", values=1000)}}
             for i in range(200)]
    answer, memory = ask_measured(server, "/v1/chat/completions", {"messages": HELLO, "max_tokens": 1, "tools": tools})
    assert answer.status == 400 and answer.json()["error"]["code"] == "context_length_exceeded"
    assert memory < 100 * len(json.dumps(tools))


def lists(count):
    return "[" + ",".join(["[]"] * count) + "]"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages",
                                  "/v1/messages/count_tokens", "/tokenize", "/detokenize", "/apply-template"])
def test_bodies_of_many_values(server, path):
    body = b'{"metadata": %s}' % lists(1 << 20).encode()
    answer, memory = ask_measured(server, path, body)
    assert answer.status == 413 and b"the request has more than 1048576 values of JSON" in answer.body
    assert memory < 6 * len(body)  # read, they took 19 times as much


# A text within the body is JSON too, and here there are more values in it, or in all of them, than may be.
@pytest.mark.parametrize("texts, count", [(1, 1 << 20), (130, 1 << 13)])
def test_many_values_in_arguments(server, texts, count):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":%s}' % lists(count)}}
    body = json.dumps({"messages": HELLO + [{"role": "assistant", "tool_calls": [call] * texts}]}).encode()
    answer, memory = ask_measured(server, "/v1/chat/completions", body)
    assert answer.status == 413 and b"arguments: the request has more than" in answer.body, answer.body
    assert memory < 40 * len(body)  # as values of the template's they took 110 times as much


def test_as_many_values_as_may_be(server):
    tokens = (1 << 20) - 2  # the list and the object are values too
    answer, memory = ask_measured(server, "/detokenize", b'{"tokens": [%s]}' % b",".join([b"9"] * tokens))
    assert answer.status == 200 and len(answer.body) > 2 * tokens
    assert memory < 100 * MIB
    assert ask(server, "/detokenize", b'{"tokens": [%s]}' % b",".join([b"9"] * (tokens + 1))).status == 413


def test_what_is_kept_of_a_body_counts(server):
    """Tools stay until the answer is whole, and so do they in the count of bodies."""
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 100,
                                             "parameters": {"type": "object", "properties": {"p": {"enum": [1] * 400}}}}}
    body = json.dumps({"messages": HELLO, "max_tokens": 400, "tools": [tool], "stream": True, "ignore_eos": True}).encode()
    with server.connect() as connection:
        connection.sendall(request_bytes("POST", "/v1/chat/completions", body=body))
        reader = Reader(connection)
        assert reader.head()[0] == 200
        while b"content" not in reader.chunk():
            pass
        assert metric(server.ask("GET", "/metrics").body.decode(), "glimmer_http_buffered_bytes") > 400 * 64
        while reader.chunk():
            pass
    while metric(server.ask("GET", "/metrics").body.decode(), "glimmer_http_buffered_bytes"):
        threading.Event().wait(0.005)


# ---- logprobs of whole answers ----


def logprobs_of(choice):
    return [(entry["token"], entry["logprob"], len(entry["top_logprobs"])) for entry in choice["logprobs"]["content"]]


def test_more_logprobs_than_an_answer_may_have(server):
    many = {"messages": HELLO, "n": 16, "logprobs": True, "top_logprobs": 20}
    answer = ask(server, "/v1/chat/completions", {**many, "max_tokens": 1900})
    assert answer.status == 400
    assert answer.json()["error"]["message"] == (
        "logprobs of up to 30400 tokens, 21 for each, are more than 524288: "
        "ask for fewer of them, of answers or of tokens, or for a stream")
    assert ask(server, "/v1/chat/completions", {**many, "max_tokens": 4}).status == 200
    with server.connect() as connection:
        body = json.dumps({**many, "max_tokens": 1900, "stream": True}).encode()
        connection.sendall(request_bytes("POST", "/v1/chat/completions", body=body))
        assert Reader(connection).head()[0] == 200
    prompts = {"prompt": ["a b c " * 200] * 16, "logprobs": 20, "echo": True, "max_tokens": 0, "n": 16}
    for stream in (False, True):
        answer = ask(server, "/v1/completions", {**prompts, "stream": stream})
        assert answer.status == 400 and b"21 for each, are more than 524288" in answer.body


def test_an_answer_without_a_length_ends_with_its_logprobs():
    fields = {"messages": HELLO, "logprobs": True, "top_logprobs": 4, "ignore_eos": True, "n": 2,
              "chat_template_kwargs": {"enable_thinking": False}}
    with Server(BINARY, *FLAGS, "--max-logprobs", "200", command=["serve"]) as server:
        body = ask(server, "/v1/chat/completions", fields).json()
        assert body["usage"]["completion_tokens"] == 40
        assert [choice["finish_reason"] for choice in body["choices"]] == ["length"] * 2
        assert ask(server, "/v1/chat/completions", {**fields, "max_tokens": 21}).status == 400
        assert ask(server, "/v1/chat/completions", {**fields, "max_tokens": 20}).status == 200


def test_large_answers_are_written_aside_and_are_the_same(server):
    fields = {"messages": HELLO, "logprobs": True, "top_logprobs": 20, "max_tokens": 300, "n": 4, "seed": 3,
              "temperature": 1, "ignore_eos": True, "chat_template_kwargs": {"enable_thinking": False}}
    whole = ask(server, "/v1/chat/completions", fields)
    assert whole.status == 200 and len(whole.body) > MIB
    streamed = ["", "", "", ""]
    logprobs = [[], [], [], []]
    for line in ask(server, "/v1/chat/completions", {**fields, "stream": True}).body.decode().splitlines():
        for choice in json.loads(line[6:])["choices"] if line.startswith("data: {") else []:
            streamed[choice["index"]] += choice["delta"].get("content") or ""
            logprobs[choice["index"]] += logprobs_of(choice) if choice["logprobs"] else []
    for choice in whole.json()["choices"]:
        assert choice["message"]["content"] == streamed[choice["index"]] != ""
        assert logprobs_of(choice) == logprobs[choice["index"]]
        assert all(top == 20 for _, _, top in logprobs[choice["index"]])


def test_tokenize_answers_are_not_held_whole(server):
    text = "a" * MIB + "\u2603" * (MIB // 4)
    answer, memory = ask_measured(server, "/tokenize", {"prompt": text, "with_pieces": True, "return_token_strs": True})
    assert answer.status == 200 and len(answer.body) > 8 * MIB
    assert memory < 90 * MIB  # the answer as it was, in values of JSON, took 700
    body = answer.json()
    assert list(body) == ["count", "max_model_len", "tokens", "token_strs"]
    assert body["count"] == len(body["tokens"]) == len(body["token_strs"])
    pieces = b"".join(token["piece"].encode() if isinstance(token["piece"], str) else bytes(token["piece"])
                      for token in body["tokens"])
    assert pieces.decode() == text
    plain = ask(server, "/tokenize", {"prompt": text}).json()
    assert plain["tokens"] == [token["id"] for token in body["tokens"]]


def test_detokenize_answers_are_not_held_whole(server):
    longest = max(range(4000), key=lambda i: len(ask_pieces(server, i)) if i % 16 == 0 else 0)
    answer, memory = ask_measured(server, "/detokenize", {"tokens": [longest] * 300_000})
    piece = ask_pieces(server, longest)
    assert answer.status == 200
    assert answer.json() == {"prompt": piece * 300_000, "content": piece * 300_000}
    assert memory < 40 * MIB


def ask_pieces(server, token):
    return ask(server, "/detokenize", {"tokens": [token]}).json()["content"]


def test_whole_characters_cross_pieces(server):
    text = "".join(chr(0x4E00 + i % 5000) for i in range(100_000))
    tokens = ask(server, "/tokenize", {"prompt": text}).json()["tokens"]
    assert ask(server, "/detokenize", {"tokens": tokens}).json() == {"prompt": text, "content": text}
    rendered = ask(server, "/apply-template", {"messages": [{"role": "user", "content": text}]}).json()["prompt"]
    assert text in rendered


def test_a_client_that_does_not_read_an_answer_holds_little(server):
    body = json.dumps({"prompt": "a" * MIB, "with_pieces": True}).encode()
    with server.connect(receive_buffer=4096) as connection:
        connection.sendall(request_bytes("POST", "/tokenize", body=body))
        server.ask("POST", "/tokenize", body=b'{"prompt": "%s"}' % (b"b" * MIB))  # behind it in the background
        assert status_bytes(server, "VmRSS") < 600 * MIB
    assert server.alive()


def test_bodies_count_until_they_are_let_go_of():
    """Twenty clients send 6 MiB and leave; what is left of them is not read before an honest request."""
    body = json.dumps({"messages": [{"role": "user", "content": "a b " * (6 << 18)}], "max_tokens": 1}).encode()
    with Server(BINARY, *FLAGS, "--max-buffered", str(16 * MIB), command=["serve"]) as server:
        peak = before = status_bytes(server, "VmRSS")
        for _ in range(20):
            with server.connect() as connection:
                try:
                    connection.sendall(request_bytes("POST", "/v1/chat/completions", body=body))
                except OSError:
                    pass  # a 503, before all was sent
            peak = max(peak, status_bytes(server, "VmRSS"))
        assert server.ask("POST", "/tokenize", body=json.dumps({"prompt": "a b " * 10_000}).encode()).status == 200
        assert peak - before < 12 * len(body)
        server.wait_for_log("client_gone")
        for _ in range(500):
            if metric(server.ask("GET", "/metrics").body.decode(), "glimmer_http_buffered_bytes") == 0:
                return
            threading.Event().wait(0.02)
        raise AssertionError("bodies are still counted")


def test_small_requests_do_not_wait_for_large_ones():
    large = json.dumps({"prompt": "a b " * (4 << 18)}).encode()
    small = json.dumps({"prompt": "a b " * 10_000}).encode()
    done = []
    with Server(BINARY, *FLAGS, command=["serve"]) as server:

        def post(name, body):
            with server.connect(timeout=100) as connection:
                connection.sendall(request_bytes("POST", "/tokenize", body=body))
                assert Reader(connection).answer().status == 200
            done.append(name)

        threads = [threading.Thread(target=post, args=("large", large)) for _ in range(8)]
        for thread in threads:
            thread.start()
        while metric(server.ask("GET", "/metrics").body.decode(), "glimmer_http_requests_in_flight") < 4:
            threading.Event().wait(0.005)
        post("small", small)
        for thread in threads:
            thread.join()
    assert done.index("small") < 6, done


FRUGAL = ("-m", MODEL, "-q", "--kv-memory", "0.006", "--threads", "2", "--io-threads", "2")


@pytest.fixture(scope="module")
def address_space():
    """What the server takes until it listens. Each of the C library's arenas would reserve 64 MB of it."""
    with Server(BINARY, *FRUGAL, command=["serve"], env={"MALLOC_ARENA_MAX": "1"}) as server:
        return status_bytes(server, "VmPeak")


@pytest.mark.parametrize("megabytes", [16, 32, 64, 150])
def test_little_memory_ends_requests_and_not_the_process(address_space, megabytes):
    server = Server("prlimit", *FRUGAL, env={"MALLOC_ARENA_MAX": "1"},
                    command=[f"--as={address_space + megabytes * MIB}", BINARY, "serve"])
    failed = []

    def client(i):
        for k in range(4):
            fields = {"messages": [{"role": "user", "content": "Tell me a story " * (i + 1)}], "max_tokens": 30, "n": 4,
                      "logprobs": True, "top_logprobs": 20, "stream": i % 2 == 0}
            path = "/v1/chat/completions"
            if k % 2 == 1:
                path, fields = "/tokenize", {"prompt": "ab " * 100_000 * (1 + i % 4), "with_pieces": k % 4 == 1}
            try:
                if ask(server, path, fields).status == 503:
                    failed.append(path)
            except (OSError, EOFError):
                failed.append(path)  # a connection for which nothing was left

    with server:
        clients = [threading.Thread(target=client, args=(i,)) for i in range(12)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert server.process.poll() is None, server.log()[-2000:]
        assert failed or megabytes > 16, "there was memory enough"
        answer = ask(server, "/v1/chat/completions", {"messages": HELLO, "max_tokens": 2})
        assert answer.status == 200, answer.body
        held = ("glimmer_requests_running", "glimmer_requests_waiting", "glimmer_kv_pages_used",
                "glimmer_http_buffered_bytes")
        end = time.monotonic() + 10  # the last answer is there a little before its request is let go of
        while any(metric(text := server.ask("GET", "/metrics").body.decode(), name) for name in held):
            assert time.monotonic() < end, text
            time.sleep(0.02)
