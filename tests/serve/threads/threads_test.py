"""A thread that the system does not give: an error that says so, whichever it is, and no abort."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Server  # noqa: E402

BINARY = os.environ["GLIMMER"]
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "models", "demo")
FLAGS = ("-m", MODEL, "-q", "--threads", "2", "--kv-memory", "0.05")
NO_THREAD = r"glimmer: error: (the system gives no|cannot start) [^\n]*thread[^\n]*\n"
SERVING = 8  # of the log, 2 of the network, of the pool, of the store, of the engine, 2 in the background
LOADING = len(os.sched_getaffinity(0))  # at most, besides


def environment(failing):
    return {"LD_PRELOAD": os.environ["FAILING_THREAD_LIBRARY"], "FAILING_THREAD": str(failing)}


def test_a_server_that_lacks_a_thread_says_so_and_ends(tmp_path):
    failing = 0
    while True:
        with subprocess.Popen([BINARY, "serve", "--port", "0", *FLAGS, "--kv-dir", str(tmp_path)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, **environment(failing)}) as process:
            if process.stdout.readline():  # it listens: there are no more threads
                process.terminate()
                assert process.wait(20) == 0
                break
            assert process.wait(20) == 1
            told = process.stderr.read()
            assert re.fullmatch(NO_THREAD, told), told
        failing += 1
    assert SERVING <= failing <= SERVING + LOADING


def test_a_server_with_all_its_threads(tmp_path):
    failing = SERVING + LOADING
    with Server(BINARY, *FLAGS, "--kv-dir", str(tmp_path), command=["serve"], env=environment(failing)) as server:
        assert server.ask("POST", "/v1/completions", body=b'{"prompt": "a"}').status == 200
        assert len(os.listdir(f"/proc/{server.process.pid}/task")) == SERVING + 1


def test_a_prompt_that_lacks_a_thread():
    done = subprocess.run([BINARY, "run", "-m", MODEL, "-t", "2", "Hi"], text=True, timeout=60, capture_output=True,
                          env={**os.environ, **environment(0)})
    assert done.returncode == 1
    assert re.search(NO_THREAD + r"\Z", done.stderr), done.stderr
