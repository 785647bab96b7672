"""Limits of the HTTP server, and streams: who sends too much, reads too slowly, or goes."""

import os
import socket
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, Server, metric, read_all, request_bytes, send  # noqa: E402
from support.transport import BINARY, closed_count, wait_for_closed  # noqa: E402


# ---- limits ----

def test_headers_and_bodies_beyond_the_limit(strict):
    assert strict.ask("GET", "/health", {"X": "x" * 1500}).status == 200
    giant = strict.ask("GET", "/health", {"X": "x" * 3000})
    assert (giant.status, giant.header("Connection")) == (431, "close")
    assert strict.raw(b"GET /" + b"a" * 100000).startswith(b"HTTP/1.1 431 ")
    assert strict.ask("POST", "/v1/echo", body=b"x" * 10000).status == 200
    assert strict.ask("POST", "/v1/echo", body=b"x" * 10001).status == 413
    chunks = b"".join(b"fa0\r\n" + b"x" * 4000 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
    assert strict.ask("POST", "/v1/echo", {"Transfer-Encoding": "chunked"}, chunks).status == 413
    assert strict.ask("POST", "/v1/messages", body=b"x" * 20000).json()["error"]["type"] == "request_too_large"
    long_chunk_line = b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 50000
    assert strict.raw(long_chunk_line).split(b" ", 2)[1] in (b"400", b"431")


def test_a_body_that_is_refused_is_read_so_that_the_answer_arrives(server):
    body = b"x" * (40 << 20)
    with server.connect() as connection:
        try:
            connection.sendall(request_bytes("POST", "/v1/echo", body=body))
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert Reader(connection).answer().status == 413


def test_bodies_of_all_requests_together_are_bounded():
    with Server(BINARY, "--max-buffered", "100000") as server:
        with server.connect() as first, server.connect() as second:
            send(first, "POST", "/v1/echo", {"Content-Length": "90001"}, b"x" * 90000)
            time.sleep(0.1)
            send(second, "POST", "/v1/echo", body=b"x" * 20000)
            answer = Reader(second).answer()
            assert answer.status == 503 and int(answer.header("Retry-After")) > 0
            first.sendall(b"x")
            assert Reader(first).answer().status == 200
        server.wait_for_log("status=200")  # then it is given back
        assert server.ask("POST", "/v1/echo", body=b"x" * 90000).status == 200


def test_answers_that_nobody_reads_count_as_bodies_do():
    with Server(BINARY, "--max-buffered", str(24 << 20)) as server:
        with server.connect(receive_buffer=4096) as first:
            send(first, "GET", f"/v1/text/{16 << 20}")
            Reader(first).head()
            answer = server.ask("GET", f"/v1/text/{16 << 20}")
            assert answer.status == 503 and int(answer.header("Retry-After")) > 0
            assert server.ask("GET", f"/v1/text/{1 << 20}").status == 200
        server.wait_for_log("outcome=client_gone")
        assert server.ask("GET", f"/v1/text/{16 << 20}").status == 200


def test_slow_requests_time_out(strict):
    for start in (b"GET /hea", request_bytes("POST", "/v1/echo", {"Content-Length": "10"}, b"12345")):
        began = time.monotonic()
        with strict.connect() as connection:
            connection.sendall(start)
            answer = Reader(connection).answer()
        assert answer.status == 408 and 0.4 < time.monotonic() - began < 2
    began = time.monotonic()
    with strict.connect() as connection:  # a byte now and then is too slow as well
        answer = b""
        connection.settimeout(0.05)
        try:
            for byte in request_bytes("GET", "/health"):
                connection.sendall(bytes([byte]))
                try:
                    answer += connection.recv(1000)
                except TimeoutError:
                    pass
                if answer:
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert answer.startswith(b"HTTP/1.1 408 ") and time.monotonic() - began < 2


def test_idle_connections_are_closed(strict):
    for first in (b"", request_bytes()):
        with strict.connect() as connection:
            connection.sendall(first)
            reader = Reader(connection)
            if first:
                assert reader.answer().status == 200
            began = time.monotonic()
            assert read_all(connection) == b""
            assert 0.3 < time.monotonic() - began < 2


def test_connections_beyond_the_limit_are_told(strict):
    held = [strict.connect() for _ in range(40)]
    try:
        for connection in held:
            send(connection)
        assert all(Reader(connection).answer().status == 200 for connection in held)
        answer = strict.ask()
        assert answer.status == 503 and answer.header("Retry-After") and answer.header("Connection") == "close"
    finally:
        for connection in held:
            connection.close()
    time.sleep(0.1)
    assert strict.alive()
    assert metric(strict.ask("GET", "/metrics").body.decode(), "glimmer_http_connections_refused_total") >= 1


def test_connections_wait_until_descriptors_are_free():
    with Server("prlimit", command=["--nofile=48:48", BINARY]) as server:
        with server.connect() as last:
            taken = [server.connect() for _ in range(60)]  # by the system, and some by the server
            server.wait_for_log("no connection could be accepted: Too many open files")
            late = server.connect(timeout=0.3)
            send(late, "GET", "/health")
            with pytest.raises(TimeoutError):
                late.recv(1)
            send(last, "GET", "/health")  # who is in is served meanwhile
            assert Reader(last).answer().status == 200
            for connection in taken:
                connection.close()
            late.settimeout(20)
            assert Reader(late).answer().status == 200
            late.close()
        assert server.ask("GET", "/health").status == 200
        assert server.log().count("no connection could be accepted") == 1


# ---- streams ----

def test_a_stream_waits_for_its_reader(server):
    with server.connect(receive_buffer=1 << 20) as connection:  # much less than the stream has
        send(connection, "GET", "/v1/stream/10000")
        reader = Reader(connection)
        assert reader.head()[0] == 200
        time.sleep(0.3)
        pieces = []
        while piece := reader.chunk():
            pieces.append(piece)
        events = b"".join(pieces).decode().split("\n\n")[:-1]
        assert [event.split()[3] for event in events] == [str(i) for i in range(10000)]
        send(connection, "GET", "/v1/text/1")  # the connection lives on
        assert reader.answer().body == b"x"


def test_a_client_that_goes_is_noticed(server):
    before = closed_count(server)
    for path in ("/v1/forever/stream", "/v1/forever/silent", "/v1/stream/1000000"):
        with server.connect() as connection:
            send(connection, "GET", path)
            time.sleep(0.05)
        before += 1
        wait_for_closed(server, before)
    with server.connect() as connection:  # by a reset
        send(connection, "GET", "/v1/forever/stream")
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_for_closed(server, before + 1)
    server.wait_for_log("path=/v1/forever/silent status=499 outcome=client_gone")


def test_a_half_closed_socket_ends_what_takes_long_but_not_what_is_answered(server):
    before = closed_count(server)
    with server.connect() as connection:
        send(connection, "GET", "/v1/forever/stream")
        time.sleep(0.05)
        connection.shutdown(socket.SHUT_WR)
        assert b"data: first" in read_all(connection)
    wait_for_closed(server, before + 1)
    answers = server.raw(request_bytes("GET", "/v1/text/300000") + request_bytes("GET", "/health"), half_close=True)
    assert answers.count(b"HTTP/1.1 200 OK") == 2 and answers.count(b"x" * 300000) == 1


def test_a_reader_that_stops_is_cut_off(strict):
    before = closed_count(strict)
    with strict.connect(receive_buffer=4096) as connection:
        send(connection, "GET", "/v1/stream/1000000")
        wait_for_closed(strict, before + 1)
    strict.wait_for_log("path=/v1/stream/1000000 status=200 outcome=write_timeout")


def test_an_endpoint_that_ignores_the_bound_is_cut_off(strict):
    before = closed_count(strict)
    with strict.connect(receive_buffer=4096) as connection:
        send(connection, "GET", "/v1/flood")
        wait_for_closed(strict, before + 1)
    strict.wait_for_log("path=/v1/flood status=200 outcome=overrun")
    assert strict.alive()


def test_silent_streams_have_a_heartbeat(strict):
    with strict.connect() as connection:
        send(connection, "GET", "/v1/forever/stream")
        reader = Reader(connection)
        reader.head()
        assert reader.chunk() == b"data: first\n\n"
        assert [reader.chunk() for _ in range(5)] == [b": \n\n"] * 5  # longer than any time-out here


def test_requests_that_wait_behind_a_stream_are_bounded(server):
    before = closed_count(server)
    with server.connect(timeout=1) as connection:
        send(connection, "GET", "/v1/forever/stream")
        with pytest.raises(TimeoutError):
            while True:
                connection.sendall(b"x" * (1 << 20))
    wait_for_closed(server, before + 1)  # though none of that was read


def test_memory_of_a_body_is_given_back(server):
    for _ in range(30):  # 1.8 GB, in and out
        assert len(server.ask("POST", "/v1/echo", body=b"x" * (30 << 20)).body) == 30 << 20
    text = server.ask("GET", "/metrics").body.decode()
    assert metric(text, "glimmer_http_buffered_bytes") == 0
    assert metric(text, "process_resident_memory_bytes") < 700 << 20  # the address sanitizer keeps some
