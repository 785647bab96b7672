"""Access to the HTTP server: keys, hosts, origins, and TLS."""

import fcntl
import os
import pty
import ssl
import subprocess
import sys
import termios

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, Server, read_all, request_bytes, send  # noqa: E402
from support.transport import BINARY  # noqa: E402

KEY = "secret-key-1"


def with_key(key=KEY):
    return {"Authorization": f"Bearer {key}"}


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
