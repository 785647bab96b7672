"""HTTP messages from outside, over transport_server's endpoints: well formed, malformed, and in great numbers."""

import json
import os
import socket
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, read_all, request_bytes, send  # noqa: E402


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
