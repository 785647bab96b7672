"""A binary whose upper layers are not optimised, so that nothing is inlined, serves and converts, and ends as it should.

An optimised binary can be right by luck where two classes share a name, or where a standard container is read beyond
its end; this one has the assertions of the standard library.
"""

import json
import os
import subprocess
import sys

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "serve"))
from support.server import Server  # noqa: E402

BINARY = os.environ["GLIMMER"]
MODEL = os.path.join(ROOT, "models", "demo")
SUM = [{"role": "user", "content": "What is 17 + 25?"}]
START_S = 120

# Each API streams through a class of its own.
STREAMS = {
    "/v1/chat/completions": {"messages": SUM, "max_tokens": 4},
    "/v1/completions": {"prompt": "17 + 25", "max_tokens": 4},
    "/v1/responses": {"input": SUM, "max_output_tokens": 4},
    "/v1/messages": {"messages": SUM, "max_tokens": 4},
}


@pytest.fixture(scope="module")
def server():
    with Server(BINARY, "-m", MODEL, "-q", command=["serve"], start_s=START_S) as running:
        yield running  # and ends with status 0, or fails


@pytest.mark.parametrize("path", STREAMS)
def test_serve_answers_and_streams(server, path):
    for stream in (False, True):
        body = json.dumps({"stream": stream, "temperature": 0, **STREAMS[path]}).encode()
        answer = server.ask("POST", path, headers={"Content-Type": "application/json"}, body=body)
        assert answer.status == 200, answer.body
        assert (b"data: " in answer.body) == stream


def run(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name, flags", [("demo.gguf", ["--type", "q4_0"]), ("folder", ["--format", "hf"])])
def test_convert_ends_with_status_0(tmp_path, name, flags):
    path = str(tmp_path / name)
    done = run("convert", MODEL, path, *flags)
    assert done.returncode == 0, done.stderr
    shown = run("inspect", path)
    assert shown.returncode == 0, shown.stderr
    assert "glm4" in shown.stdout, shown.stdout


def test_run_answers():
    done = run("run", "-m", MODEL, "What is 17 + 25?")
    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout, done.stderr
