"""What clients make of a base URL, compress and cut, against `glimmer serve`: paths, content encodings, JSON that is none."""

import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Server  # noqa: E402

BINARY = os.environ["GLIMMER"]
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "models", "demo")
CHAT = {"messages": [{"role": "user", "content": "What is 17 + 25?"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def server():
    with Server(BINARY, "-m", MODEL, "-q", command=["serve"]) as running:
        yield running


def post(server, path, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.ask("POST", path, headers={"Content-Type": "application/json", **headers}, body=data)


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1/chat/completions/", "/chat/completions", "/v1/v1/chat/completions",
                                  "/v1//chat/completions?beta=true", "//chat//completions/"])
def test_takes_every_spelling_of_a_path(server, path):
    answer = post(server, path, CHAT)
    assert answer.status == 200 and answer.json()["object"] == "chat.completion"


def test_takes_messages_without_v1(server):
    assert post(server, "/messages", CHAT).json()["type"] == "message"
    assert post(server, "//v1/messages/count_tokens/", {"messages": CHAT["messages"]}).json()["input_tokens"] > 0
    assert post(server, "/messages/", {}).json()["type"] == "error"


@pytest.mark.parametrize("path", ["/v1/health", "/health/", "/v1/ready", "/v1/models/", "/models", "/models/demo", "/v1/metrics"])
def test_answers_probes_at_every_spelling(server, path):
    assert server.ask("GET", path).status == 200


@pytest.mark.parametrize("path, meant", [("/v1/chat/completion", "/v1/chat/completions"), ("/v1/chat", "/v1/chat/completions"),
                                         ("/api/v1/responses", "/v1/responses"), ("/v1/mesages", "/v1/messages"),
                                         ("/v1/embeddings", "/openapi.json")])
def test_names_the_path_that_was_meant(server, path, meant):
    answer = post(server, path, {})
    assert answer.status == 404
    assert path in answer.json()["error"]["message"] and meant in answer.json()["error"]["message"]


def test_a_wrong_method_stays_one(server):
    answer = server.ask("GET", "//chat/completions/")
    assert (answer.status, answer.header("Allow")) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/tokenize"])
def test_refuses_bodies_that_are_compressed(server, path, encoding):
    answer = post(server, path, b"\x1f\x8b\x08\0\0\0", **{"Content-Encoding": encoding})
    assert (answer.status, answer.header("Accept-Encoding")) == (415, "identity")
    assert encoding in answer.json()["error"]["message"]


def test_takes_identity(server):
    assert post(server, "/v1/chat/completions", CHAT, **{"Content-Encoding": "identity"}).status == 200
    assert post(server, "/v1/chat/completions", CHAT, **{"Content-Encoding": ""}).status == 200


@pytest.mark.parametrize("body, reason", [
    (b'{"messages":[{"role":"user","content":"x \\ud83d y"}]}', "surrogate"),
    (b'{"messages":[{"role":"user","content":"' + b"x" * 100_000 + b'\\ude00"}]}', "surrogate"),
    (b'{\n  "messages": [],\n}', "line 3, column 1): a comma before '}'"),
    (b'{"temperature": NaN}', "NaN is no number"),
    (b'{"stream": True}', "True is no literal"),
    (b'{"a": 1, "a": 2}', '"a" appears twice'),
    (b'{"messages": [{"role": "user", "role": "user"}]}', "twice in messages[0]"),
    ('{"messages": []}'.encode("utf-16"), "UTF-16"),
    ('{"messages": []}'.encode("utf-16-le"), "UTF-16"),
    (b"\x1f\x8b\x08\x00", "gzip"),
    (b"", "empty"),
    (b'{"messages": "a\nb"}', "must be escaped"),
])
def test_says_why_a_body_is_no_json(server, body, reason):
    answer = post(server, "/v1/chat/completions", body)
    assert answer.status == 400
    message = answer.json()["error"]["message"]
    assert reason in message and len(message) < 400


def test_takes_a_byte_order_mark(server):
    assert post(server, "/v1/chat/completions", b"\xef\xbb\xbf" + json.dumps(CHAT).encode()).status == 200
