"""The HTTP server from outside, over transport_server's endpoints."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import termios
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, Server, metric, read_all, request_bytes, send  # noqa: E402

BINARY = os.environ["TRANSPORT_SERVER"]
KEY = "secret-key-1"


@pytest.fixture(scope="module")
def server():
    with Server(BINARY) as running:
        yield running


@pytest.fixture(scope="module")
def strict():
    """With short times and small bounds."""
    with Server(BINARY, "--read-timeout", "0.5", "--idle-timeout", "0.7", "--write-timeout", "0.6", "--heartbeat", "0.2",
                "--max-header", "2048", "--max-body", "10000", "--stream-buffer", "16384", "--max-connections",
                "40") as running:
        yield running


def with_key(key=KEY):
    return {"Authorization": f"Bearer {key}"}


def closed_count(server):
    return int(server.ask("GET", "/v1/closed").body)


def wait_for_closed(server, count, seconds=5):
    end = time.monotonic() + seconds
    while closed_count(server) < count:
        assert time.monotonic() < end, f"{closed_count(server)} of {count} were told; log:\n{server.log()}"
        time.sleep(0.02)


# ---- messages ----

def test_answers_one_request_after_the_other_on_a_connection(server):
    with server.connect() as connection:
        reader = Reader(connection)
        for i in range(5):
            send(connection, "POST", "/v1/echo", body=b"body %d" % i)
            answer = reader.answer()
            assert (answer.status, answer.body) == (200, b"body %d" % i)
            assert answer.header("Connection") is None


def test_answers_pipelined_requests_in_their_order(server):
    with server.connect() as connection:
        data = b"".join(request_bytes("POST", "/v1/echo", body=b"%d" % i) for i in range(300))
        data += request_bytes("GET", "/v1/count/2") + request_bytes("GET", "/v1/text/3")
        connection.sendall(data)
        reader = Reader(connection)
        assert [reader.answer().body for i in range(300)] == [b"%d" % i for i in range(300)]
        assert reader.answer().body == b"data: 0\n\ndata: 1\n\n"
        assert reader.answer().body == b"xxx"


def test_pipelined_requests_split_anywhere(server):
    data = request_bytes("POST", "/v1/echo", body=b"one") + request_bytes(
        "POST", "/v1/echo", {"Transfer-Encoding": "chunked"}, b"2;x=y\r\ntw\r\n1\r\no\r\n0\r\nTrailer: 1\r\n\r\n")
    for cut in range(1, len(data)):
        with server.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(data[:cut])
            time.sleep(0.001)
            connection.sendall(data[cut:])
            reader = Reader(connection)
            assert [reader.answer().body, reader.answer().body] == [b"one", b"two"]


def test_head_is_get_without_the_body(server):
    with server.connect() as connection:
        reader = Reader(connection)
        send(connection, "HEAD", "/v1/text/5")
        answer = reader.answer("HEAD")
        assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "5", b"")
        send(connection, "GET", "/v1/text/5")
        assert reader.answer().body == b"xxxxx"


def test_expect_continue(server):
    with server.connect() as connection:
        reader = Reader(connection)
        send(connection, "POST", "/v1/echo", {"Expect": "100-continue", "Content-Length": "4"})
        assert reader.answer().status == 100
        connection.sendall(b"body")
        assert reader.answer().body == b"body"
    refused = server.ask("POST", "/v1/nothing", {"Expect": "100-continue", "Content-Length": "4"})
    assert (refused.status, refused.header("Connection")) == (404, "close")
    assert server.ask("POST", "/v1/echo", {"Expect": "magic", "Content-Length": "4"}).status == 417


def test_http_1_0_gets_a_body_until_the_connection_closes(server):
    answer = server.raw(b"GET /v1/count/2 HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\ndata: 0\n\ndata: 1\n\n")
    assert b"chunked" not in answer and b"Connection: close" in answer


def test_options_and_unknown_paths_and_methods(server):
    options = server.ask("OPTIONS", "/v1/echo")
    assert (options.status, options.header("Allow")) == (204, "POST, OPTIONS")
    assert server.ask("OPTIONS", "/v1/text/3").header("Allow") == "GET, HEAD, OPTIONS"
    assert server.ask("OPTIONS", "*").status == 204
    unknown = server.ask("GET", "/v1/nothing")
    assert unknown.status == 404 and "/v1/nothing" in unknown.json()["error"]["message"]
    wrong = server.ask("DELETE", "/v1/echo")
    assert (wrong.status, wrong.header("Allow")) == (405, "POST, OPTIONS")
    assert wrong.json()["error"]["type"] == "invalid_request_error"
    assert server.ask("GET", "/v1/text/").status == 404  # {n} stands for something


def test_paths_are_decoded_and_queries_kept(server):
    assert server.ask("POST", "/v1/%65cho?a=%20b", body=b"").header("X-Query") == "a=%20b"
    assert server.ask("POST", "http://localhost/v1/echo", body=b"").status == 200
    for bad in ("/v1/%zz", "/v1/%f", "/v1/%ff", "/v1/%00", "/v1/%0a", "nothing"):
        assert server.ask("GET", bad).status == 400, bad


def test_a_header_of_an_answer_cannot_be_split(server):
    answer = server.ask("POST", "/v1/echo", body=b"")
    assert answer.header("X-Evil") is None and "X-Evil" in answer.header("X-Injected")


def test_request_ids_come_back_and_are_clean(server):
    assert server.ask("GET", "/health", {"X-Request-Id": "abc-123"}).header("X-Request-Id") == "abc-123"
    for bad in ("a b", "x" * 129, 'quote"', "\xff"):
        given = server.ask("GET", "/health", {"X-Request-Id": bad}).header("X-Request-Id")
        assert given.startswith("req_") and len(given) == 28


# ---- what is malformed ----

@pytest.mark.parametrize("data", [
    b"nonsense\r\n\r\n",
    b"GET /health\r\n\r\n",
    b"GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",  # no Host
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad Name: 1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    b"GET /hea\x01lth HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,  # TLS
])
def test_malformed_requests_are_refused_and_the_connection_closed(server, data):
    answer = server.raw(data)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 505 ")), answer
    assert b"Connection: close" in answer and answer.count(b"HTTP/1.1 ") == 1
    body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert body["error"]["message"]
    assert server.alive()


@pytest.mark.parametrize("data", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n"])
def test_other_versions_are_refused(server, data):
    assert server.raw(data).startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 "))


def test_bytes_that_are_not_utf8_in_headers_and_bodies(server):
    answer = server.ask("POST", "/v1/echo", {"X-Strange": "\xff\xfe\x80"}, b"\xff\x00\xfe")
    assert (answer.status, answer.body) == (200, b"\xff\x00\xfe")


def test_random_bytes_never_end_it(server):
    import random
    source = random.Random(1)
    good = request_bytes("POST", "/v1/echo", {"Transfer-Encoding": "chunked"}, b"2\r\nab\r\n0\r\n\r\n")
    for _ in range(400):
        data = bytearray(good)
        for _ in range(source.randint(1, 4)):
            place = source.randrange(len(data))
            if source.random() < 0.5:
                data[place] = source.randrange(256)
            else:
                data[place:place + source.randint(0, 3)] = source.randbytes(source.randint(0, 3))
        answer = server.raw(bytes(data), half_close=True)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert server.alive()


def test_the_client_closes_in_the_middle(server):
    whole = request_bytes("POST", "/v1/echo", body=b"0123456789")
    for cut in range(0, len(whole), 3):
        with server.connect() as connection:
            connection.sendall(whole[:cut])
    assert server.alive()


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


# ---- faults of endpoints ----

@pytest.mark.parametrize("what, status, told", [
    ("error", 400, "the field is wrong"), ("api", 422, "no such thing"), ("overloaded", 429, "the queue is full"),
    ("other", 500, "failed"), ("posted", 500, "failed"), ("number", 500, "failed")])
def test_exceptions_become_answers(server, what, status, told):
    with server.connect() as connection:
        reader = Reader(connection)
        send(connection, "GET", f"/v1/throw/{what}")
        answer = reader.answer()
        assert answer.status == status and told in answer.json()["error"]["message"]
        assert b"secret" not in answer.body and answer.header("X-Request-Id")
        assert (answer.header("Retry-After") is not None) == (status == 429)
        send(connection)
        assert reader.answer().status == 200  # the same connection goes on


def test_an_exception_in_a_stream_breaks_it_off(server):
    with server.connect() as connection:
        send(connection, "GET", "/v1/throw/later")
        data = read_all(connection)
    assert b"data: first" in data and not data.endswith(b"0\r\n\r\n")
    assert server.alive()


def test_an_exchange_that_is_dropped_is_a_500(server):
    assert server.ask("GET", "/v1/drop").status == 500


def test_errors_have_the_shape_of_their_api(server):
    answer = server.ask("POST", "/v1/messages", body=b"")
    assert (answer.status, answer.header("Retry-After")) == (429, "7")
    assert answer.json() == {"type": "error", "error": {"type": "rate_limit_error", "message": "too much"},
                             "request_id": answer.header("X-Request-Id")}
    assert server.ask("GET", "/v1/messages").json()["error"]["type"] == "invalid_request_error"
    assert server.ask("GET", "/v1/messages/none").json()["type"] == "error"
    assert set(server.ask("GET", "/v1/none").json()["error"]) == {"message", "type", "param", "code"}


# ---- who may ask ----

@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text("# a comment\n\nsecret-key-2  \nsecret-key-3\r\n")
    with Server(BINARY, "--api-key", KEY, "--api-key-file", str(file), "--host", "0.0.0.0", env={
            "GLIMMER_API_KEY": "secret-key-4"}) as running:
        yield running


def test_keys(keyed):
    ids = set()
    for key in (KEY, "secret-key-2", "secret-key-3", "secret-key-4"):
        for headers in ({"Authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}, {"x-api-key": key}):
            answer = keyed.ask("POST", "/v1/echo", headers, b"")
            assert answer.status == 200
            ids.add(answer.header("X-Key-Id"))
            assert key not in keyed.log()
    assert len(ids) == 4 and all(len(name) == 16 for name in ids)
    for headers in ({}, with_key("secret-key-"), with_key("secret-key-11"), {"Authorization": f"Basic {KEY}"},
                    {"Authorization": KEY}, {"Authorization": "Bearer"}, {"x-api-key": ""}):
        answer = keyed.ask("POST", "/v1/echo", headers, b"")
        assert answer.status == 401 and answer.header("WWW-Authenticate") == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert keyed.ask("POST", "/v1/messages", body=b"").json()["error"]["type"] == "authentication_error"
    assert keyed.ask("GET", "/health").status == 200 and keyed.ask("GET", "/ready").status == 200
    assert keyed.ask("GET", "/metrics").status == 401 and keyed.ask("GET", "/openapi.json").status == 401
    assert keyed.ask("POST", "/v1/echo", with_key(), b"", host="any.example").status == 200


def test_a_body_is_not_read_for_strangers(keyed):
    answer = keyed.ask("POST", "/v1/echo", {"Content-Length": str(30 << 20)})
    assert (answer.status, answer.header("Connection")) == (401, "close")


def test_other_addresses_need_a_key_or_insecure():
    failed = subprocess.run([BINARY, "--host", "0.0.0.0", "--port", "0"], capture_output=True, text=True, timeout=20)
    assert failed.returncode == 2 and "--insecure" in failed.stderr
    with Server(BINARY, "--host", "0.0.0.0", "--insecure") as server:
        assert server.ask("GET", "/health", host="any.example").status == 200


@pytest.mark.parametrize("flags", [
    ("--api-key", "short"), ("--api-key", "with a space in it"), ("--port", "70000"), ("--read-timeout", "0"),
    ("--max-body", "0"), ("--tls-cert", "x.pem"), ("--cors-origin", "example.com"), ("--log-format", "xml"),
    ("--read-timeout", "nan"), ("--host", "::1::")])
def test_wrong_flags_are_refused(flags):
    failed = subprocess.run([BINARY, "--port", "0", *flags], capture_output=True, text=True, timeout=20)
    assert failed.returncode in (1, 2) and failed.stderr.startswith("glimmer: error: ") and not failed.stdout


def test_a_port_that_is_taken(server):
    failed = subprocess.run([BINARY, "--port", str(server.port)], capture_output=True, text=True, timeout=20)
    assert failed.returncode == 1 and str(server.port) in failed.stderr


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:80", "[::1]"])
def test_names_of_this_machine_are_served(server, host):
    assert server.ask("GET", "/health", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "192.168.1.2",
                                  "", "[::2]"])
def test_other_names_are_refused(server, host):  # DNS rebinding
    assert server.ask("GET", "/v1/text/1", host=host).status == 403


def test_web_pages_may_not_ask(server):
    for origin in ("https://evil.example", "null", "file://", f"http://localhost:{server.port + 1}"):
        assert server.ask("POST", "/v1/echo", {"Origin": origin, "Content-Type": "text/plain"}, b"").status == 403
    preflight = server.ask("OPTIONS", "/v1/echo", {"Access-Control-Request-Method": "POST"})
    assert preflight.header("Access-Control-Allow-Origin") is None
    own = f"localhost:{server.port}"
    assert server.ask("POST", "/v1/echo", {"Origin": f"http://{own}"}, b"", host=own).status == 200


def test_cors_where_it_is_asked_for():
    with Server(BINARY, "--cors-origin", "https://app.example", "--api-key", KEY) as server:
        preflight = server.ask("OPTIONS", "/v1/echo", {
            "Origin": "https://app.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, x-custom"})
        assert preflight.status == 204
        assert preflight.header("Access-Control-Allow-Origin") == "https://app.example"
        assert preflight.header("Access-Control-Allow-Headers") == "authorization, x-custom"
        assert "POST" in preflight.header("Access-Control-Allow-Methods")
        answer = server.ask("POST", "/v1/echo", {"Origin": "https://app.example", **with_key()}, b"")
        assert answer.header("Access-Control-Allow-Origin") == "https://app.example"
        assert answer.header("Vary") == "Origin"
        refused = server.ask("POST", "/v1/echo", {"Origin": "https://app.example"}, b"")
        assert refused.status == 401 and refused.header("Access-Control-Allow-Origin")
        other = server.ask("POST", "/v1/echo", {"Origin": "https://other.example", **with_key()}, b"")
        assert other.header("Access-Control-Allow-Origin") is None
    with Server(BINARY, "--cors-origin", "*") as server:
        answer = server.ask("POST", "/v1/echo", {"Origin": "https://any.example"}, b"")
        assert answer.status == 200 and answer.header("Access-Control-Allow-Origin") == "https://any.example"


# ---- TLS ----

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    return folder


def tls_connection(server, certificate, low=ssl.TLSVersion.TLSv1_2, high=ssl.TLSVersion.MAXIMUM_SUPPORTED):
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version, context.maximum_version = low, high
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(server.connect(), server_hostname="localhost")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TLS 1.1, which must fail
def test_tls(certificate):
    with Server(BINARY, "--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem"),
                "--read-timeout", "1") as server:
        assert server.scheme == "https"
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with tls_connection(server, certificate, version, version) as connection:
                assert connection.selected_alpn_protocol() == "http/1.1"
                reader = Reader(connection)
                for _ in range(2):
                    send(connection, "GET", "/v1/text/100000")
                    assert len(reader.answer().body) == 100000
                send(connection, "GET", "/v1/count/3")
                assert reader.answer().body.endswith(b"data: 2\n\n")
                send(connection, "GET", "/v1/stream/2000")
                assert reader.answer().body.count(b"event: n") == 2000
        with pytest.raises((ssl.SSLError, ConnectionError)):
            tls_connection(server, certificate, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)
        assert not server.raw(request_bytes()).startswith(b"HTTP/1.1 2")  # no TLS
        with server.connect() as silent:  # never says hello
            assert read_all(silent) == b""
        with tls_connection(server, certificate) as connection:
            send(connection, "GET", "/v1/forever/stream")
            Reader(connection).head()
        with tls_connection(server, certificate) as connection:
            reader = Reader(connection)
            send(connection, "GET", "/v1/closed")
            assert reader.answer().body == b"1"


def start_in_vain(*flags):
    """What it says. Nothing may be asked, nor waited for."""
    reader, terminal = pty.openpty()
    failed = subprocess.run([BINARY, "--port", "0", *flags], stdin=terminal, capture_output=True, text=True, timeout=20,
                            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0))
    os.set_blocking(reader, False)
    try:
        assert os.read(reader, 100) == b"", "it asked the terminal"
    except (BlockingIOError, OSError):
        pass
    os.close(reader)
    os.close(terminal)
    assert failed.returncode in (1, 2) and failed.stdout == ""
    lines = failed.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("glimmer: error: ")
    return lines[0]


def odd_files(folder):
    """Path and what is said of it, for files that hold nothing of use."""
    fifo, empty, binary, huge = (folder / name for name in ("fifo", "empty", "binary", "huge"))
    os.mkfifo(fifo)
    empty.write_bytes(b"")
    binary.write_bytes(bytes(range(256)) * 8)
    with open(huge, "wb") as file:
        file.truncate(1 << 40)
    link = folder / "link"
    link.symlink_to("/dev/zero")
    return [(fifo, "regular file"), (folder, "regular file"), (link, "regular file"), (folder / "none", "cannot open"),
            (huge, "bytes"), (empty, ""), (binary, "")]


def test_tls_files_that_cannot_be_used(certificate, tmp_path):
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    for file, said in odd_files(tmp_path):
        for flags in (("--tls-cert", file, "--tls-key", key), ("--tls-cert", cert, "--tls-key", file)):
            line = start_in_vain(*flags)
            assert str(file) in line and said in line
    for algorithm in (["ed25519"], ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]):  # of another type, and of this
        other = tmp_path / "other.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm, "-out", other], check=True, capture_output=True)
        line = start_in_vain("--tls-cert", cert, "--tls-key", other)
        assert f"{other}: is not the key of the certificate {cert}" in line
    for flags in (["pkcs8", "-topk8", "-v2", "aes256"], ["ec", "-aes128"]):  # both forms of protected keys
        locked = tmp_path / "locked.pem"
        subprocess.run(["openssl", *flags, "-in", key, "-passout", "pass:secret", "-out", locked], check=True,
                       capture_output=True)
        assert f"{locked}: is protected by a passphrase" in start_in_vain("--tls-cert", cert, "--tls-key", locked)
    assert "cannot be used as a certificate" in start_in_vain("--tls-cert", key, "--tls-key", key)
    assert "cannot be used as a private key" in start_in_vain("--tls-cert", cert, "--tls-key", cert)


def test_key_files_that_cannot_be_used(tmp_path):
    for file, said in odd_files(tmp_path):
        line = start_in_vain("--api-key-file", file)
        assert said in line and KEY not in line


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


# ---- many ----

def test_many_connections_at_once(server):
    import threading
    failures = []

    def work(number):
        try:
            with server.connect() as connection:
                reader = Reader(connection)
                for i in range(30):
                    body = b"%d-%d" % (number, i)
                    send(connection, "POST", "/v1/echo", body=body)
                    answer = reader.answer()
                    assert (answer.status, answer.body) == (200, body)
                send(connection, "GET", "/v1/stream/50")
                assert reader.answer().body.count(b"event: n") == 50
        except BaseException as error:  # noqa: B902
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


