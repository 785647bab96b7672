"""Starts a server on a port of its own, and speaks HTTP with it byte by byte where tests need that."""

import os
import re
import signal
import socket
import subprocess
import threading
import time


class Server:
    """One process. Use as a context manager: it must end with status 0 unless the test has ended it."""

    def __init__(self, binary, *flags, command=(), env=None, start_s=60):
        self.lines = []
        environment = {k: v for k, v in os.environ.items() if k != "GLIMMER_API_KEY"}
        environment.update(env or {})
        self.process = subprocess.Popen([binary, *command, "--port", "0", *flags], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        timer = threading.Timer(start_s, self.process.kill)
        timer.start()
        first = self.process.stdout.readline()
        timer.cancel()
        match = re.fullmatch(r"listening on (https?)://(.*):(\d+)\n", first)
        if not match:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            raise RuntimeError(f"the server did not start: {first!r} {self.log()}")
        self.scheme, host, port = match.groups()
        self.host, self.port = host.strip("[]"), int(port)
        self.url = f"{self.scheme}://{host}:{port}"

    def _read_log(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def log(self):
        return "".join(self.lines)

    def wait_for_log(self, pattern, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            match = re.search(pattern, self.log())
            if match:
                return match
            time.sleep(0.02)
        raise AssertionError(f"the log has no {pattern!r}:\n{self.log()}")

    def connect(self, timeout=20, receive_buffer=None):
        connection = socket.socket(socket.AF_INET)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout)
        connection.connect((self.host, self.port))
        return connection

    def ask(self, *args, **kwargs):
        with self.connect() as connection:
            send(connection, *args, **kwargs)
            return Reader(connection).answer(kwargs.get("method", args[0] if args else "GET"))

    def raw(self, data, half_close=False):
        """Sends bytes, gives back all that comes until the server closes."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return read_all(connection)

    def alive(self):
        return self.process.poll() is None and self.ask("GET", "/health").status == 200

    def terminate(self, seconds=20):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end:\n{self.log()}") from None
        self._reader.join()
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        ended = self.process.poll() is not None
        status = self.terminate()
        if kind is None and not ended:
            assert status == 0, f"exit status {status}:\n{self.log()}"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    def json(self):
        import json
        return json.loads(self.body)


def request_bytes(method="GET", path="/health", headers=(), body=None, host="localhost"):
    lines = [f"{method} {path} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    if body is not None and not any(name.lower() in ("content-length", "transfer-encoding") for name in dict(headers)):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def send(connection, *args, **kwargs):
    connection.sendall(request_bytes(*args, **kwargs))


def read_all(connection):
    data = bytearray()
    while True:
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            return bytes(data)
        if not piece:
            return bytes(data)
        data += piece


class Reader:
    """Reads answers off a connection, one after the other."""

    def __init__(self, connection):
        self.connection, self.data = connection, bytearray()

    def more(self):
        piece = self.connection.recv(1 << 20)
        if not piece:
            raise EOFError(f"the server closed the connection after {bytes(self.data[:1000])!r}")
        self.data += piece

    def until(self, end):
        while (at := self.data.find(end)) < 0:
            self.more()
        found = bytes(self.data[:at])
        del self.data[:at + len(end)]
        return found

    def exactly(self, count):
        while len(self.data) < count:
            self.more()
        found = bytes(self.data[:count])
        del self.data[:count]
        return found

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        return int(status), [tuple(line.split(": ", 1)) for line in lines[1:]]

    def chunk(self):
        """The next chunk of a stream; empty at its end."""
        size = int(self.until(b"\r\n"), 16)
        found = self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return found

    def answer(self, method="GET"):
        status, headers = self.head()
        named = {name.lower(): value for name, value in headers}
        if method == "HEAD" or status in (100, 204):
            return Answer(status, headers, b"")
        if named.get("transfer-encoding") == "chunked":
            pieces = []
            while piece := self.chunk():
                pieces.append(piece)
            return Answer(status, headers, b"".join(pieces))
        return Answer(status, headers, self.exactly(int(named["content-length"])))


def metric(text, name, **labels):
    """The sum of the samples of a name that have these labels."""
    total, found = 0.0, False
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
        assert match, f"no line of Prometheus' format: {line!r}"
        if match.group(1) == name and all(f'{k}="{v}"' in (match.group(2) or "") for k, v in labels.items()):
            total, found = total + float(match.group(3)), True
    return total if found else None
