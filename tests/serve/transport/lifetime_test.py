"""What the HTTP server tells of itself, its log that nobody reads, and its end."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, Server, metric, read_all, request_bytes, send  # noqa: E402
from support.transport import BINARY  # noqa: E402

KEY = "secret-key-1"


def with_key(key=KEY):
    return {"Authorization": f"Bearer {key}"}


# ---- the server about itself ----

def test_ready_health_and_openapi(server):
    assert server.ask("GET", "/ready").json() == {"status": "ready"}
    description = server.ask("GET", "/openapi.json").json()
    assert description["openapi"].startswith("3.1") and "post" in description["paths"]["/v1/echo"]
    assert description["paths"]["/v1/text/{n}"]["get"]["parameters"][0]["name"] == "n"
    with Server(BINARY, "--never-ready") as loading:
        assert loading.ask("GET", "/health").status == 200
        assert loading.ask("GET", "/ready").status == 503
        answer = loading.ask("GET", "/v1/text/1")
        assert answer.status == 503 and answer.header("Retry-After") and "loaded" in answer.json()["error"]["message"]


def test_metrics_count():
    with Server(BINARY) as server:
        for _ in range(3):
            server.ask("POST", "/v1/echo", body=b"12345")
        server.ask("GET", "/nothing")
        server.wait_for_log("path=/nothing")  # a request is counted when its last byte is out
        text = server.ask("GET", "/metrics").body.decode()
        assert metric(text, "glimmer_http_requests_total", endpoint="/v1/echo", method="POST", status="200") == 3
        assert metric(text, "glimmer_http_requests_total", endpoint="other", status="404") == 1
        assert metric(text, "glimmer_http_request_seconds_count", endpoint="/v1/echo") == 3
        assert metric(text, "glimmer_http_request_seconds_bucket", endpoint="/v1/echo", le="+Inf") == 3
        assert metric(text, "glimmer_http_received_bytes_total") == 15
        assert metric(text, "glimmer_http_requests_in_flight") == 1  # this one
        assert metric(text, "process_resident_memory_bytes") > 1e6
        assert abs(metric(text, "process_start_time_seconds") - time.time()) < 60
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(names) == len(set(names))


def test_log_lines():
    with Server(BINARY, "--log-format", "json", "--api-key", KEY) as server:
        server.ask("POST", "/v1/echo?secret=query", {"X-Request-Id": "id-1", **with_key()}, b"the prompt")
        server.ask("GET", "/v1/%22%0dx", with_key())
        server.ask("GET", "/v1/%22%C3%A9", {"X-Request-Id": "id-2", **with_key()})
        server.wait_for_log("id-2")
        lines = [json.loads(line) for line in server.log().splitlines()]
    line = next(line for line in lines if line["id"] == "id-1")
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "POST", "/v1/echo", 200)
    assert line["received_bytes"] == 10 and line["sent_bytes"] > 10 and line["ms"] >= 0 and len(line["key"]) == 16
    assert line["time"].endswith("Z") and line["client"].startswith("127.0.0.1:")
    assert "the prompt" not in server.log() and "secret" not in server.log()
    assert next(line for line in lines if line["id"] == "id-2")["path"] == '/v1/"é'


def test_a_log_that_nobody_reads_holds_up_no_request():
    reader, writer = os.pipe()
    process = subprocess.Popen([BINARY, "--port", "0"], stdout=subprocess.PIPE, stderr=writer, text=True)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            answers = Reader(connection)
            for _ in range(1000):  # about three times what the pipe holds
                send(connection, "GET", "/health")
                assert answers.answer().status == 200
        os.close(reader)
        reader = -1
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            send(connection)
            assert Reader(connection).answer().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(writer)
        if reader >= 0:
            os.close(reader)


# ---- readers of standard error and output that read nothing ----

def full_pipe():
    reader, writer = os.pipe()
    fill(writer)
    return reader, writer


def full_socket():
    reader, writer = socket.socketpair()
    fill(writer.fileno())
    return reader.detach(), writer.detach()


def full_socket_that_others_made_nonblocking():
    reader, writer = full_socket()
    os.set_blocking(writer, False)
    return reader, writer


def held_terminal():  # as by Ctrl-S
    reader, writer = pty.openpty()
    termios.tcflow(writer, termios.TCOOFF)
    return reader, writer


def fill(descriptor):
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b"x" * 512)
    except BlockingIOError:
        pass
    os.set_blocking(descriptor, True)


STUCK = [full_pipe, full_socket, full_socket_that_others_made_nonblocking, held_terminal]


@pytest.mark.parametrize("stuck", STUCK)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("log_format", ["text", "json", "none"])
def test_ends_whatever_reads_its_log(stuck, number, log_format):
    reader, writer = stuck()
    process = subprocess.Popen([BINARY, "--port", "0", "--log-format", log_format], stdout=subprocess.PIPE, stderr=writer,
                               text=True)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            answers = Reader(connection)
            for _ in range(20):
                send(connection)
                assert answers.answer().status == 200
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(writer)
        os.close(reader)


@pytest.mark.parametrize("stuck", STUCK)
def test_serves_and_ends_while_nobody_reads_that_it_listens(stuck):
    reader, writer = stuck()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([BINARY, "--port", str(port)], stdout=writer, stderr=subprocess.DEVNULL)
    try:
        for attempt in range(200):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                    send(connection, "GET", "/ready")
                    if Reader(connection).answer().status == 200:
                        break
            except ConnectionRefusedError:
                pass
            time.sleep(0.05)
        else:
            raise AssertionError("it does not serve")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(writer)
        os.close(reader)


def test_dropped_lines_are_counted_and_told():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([BINARY, "--port", "0"], stdout=subprocess.PIPE, stderr=writer, text=True)
    os.close(writer)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            answers = Reader(connection)
            for _ in range(110):
                connection.sendall(request_bytes() * 100)
                for _ in range(100):
                    assert answers.answer().status == 200
            send(connection, "GET", "/metrics")
            dropped = metric(answers.answer().body.decode(), "glimmer_log_lines_dropped_total")
        assert 900 < dropped < 1100
        log = b""
        while b"event=lines_dropped" not in log:
            piece = os.read(reader, 1 << 16)
            assert piece
            log += piece
        told = re.search(rb"event=lines_dropped count=(\d+)\n", log)
        assert told and int(told.group(1)) in (dropped, dropped + 1)  # that of /metrics itself
        process.send_signal(signal.SIGTERM)
        while piece := os.read(reader, 1 << 16):
            log += piece
        assert process.wait(10) == 0
        assert log.endswith(b"event=ended cut_short=0\n")
    finally:
        process.kill()
        process.wait()
        os.close(reader)


# ---- the end ----

def start_stream(connection, path):
    send(connection, "GET", path)
    reader = Reader(connection)
    assert reader.head()[0] == 200
    return reader


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(number):
    with Server(BINARY) as server, server.connect() as idle:
        send(idle)
        Reader(idle).answer()
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 2 and read_all(idle) == b""


def test_draining_lets_streams_end_and_takes_nothing_new():
    with Server(BINARY) as server, server.connect() as streaming, server.connect() as other, server.connect() as third:
        idle, idle_too = Reader(other), Reader(third)
        for connection, reader in ((other, idle), (third, idle_too)):
            send(connection, "GET", "/ready")
            assert reader.answer().status == 200
        reader = start_stream(streaming, "/v1/count/40")
        reader.chunk()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log(r"event=draining in_flight=\d")
        time.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        send(other, "GET", "/ready")
        answer = idle.answer()
        assert (answer.status, answer.json(), answer.header("Connection")) == (503, {"status": "draining"}, "close")
        send(third, "GET", "/v1/text/1")
        answer = idle_too.answer()
        assert answer.status == 503 and answer.header("Retry-After")
        pieces = []
        while piece := reader.chunk():
            pieces.append(piece)
        assert pieces[-1] == b"data: 39\n\n"
        assert server.process.wait(10) == 0
        assert "event=ended cut_short=0" in server.log()


def test_draining_has_an_end():
    with Server(BINARY, "--drain-timeout", "0.5") as server, server.connect() as streaming:
        start_stream(streaming, "/v1/forever/stream").chunk()
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert 0.4 < time.monotonic() - began < 5
        server._reader.join()
        assert "event=ended cut_short=1" in server.log() and "outcome=shutdown" in server.log()
        assert not read_all(streaming).endswith(b"0\r\n\r\n")


def test_a_second_signal_ends_it_at_once():
    with Server(BINARY) as server, server.connect() as streaming:
        start_stream(streaming, "/v1/forever/stream").chunk()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("event=draining")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 128 + signal.SIGINT
