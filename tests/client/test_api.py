"""What the client makes of answers that no Sealwright server would give: bounded, told, never believed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.simulators.live import make_identity

from sealwright.client import api
from sealwright.client.api import Api, Connection
from sealwright.core.errors import FormatError, RefusedError, SealwrightError, UnavailableError
from sealwright.service.messages import Health

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A server on this machine that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def reply(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def identity(tmp_path):
    return make_identity(tmp_path / "identity")


def ask(answer: Answer, identity) -> SealwrightError:
    with (
        server(answer) as url,
        Api(Connection(url=url, instance="0" * 64, identity=identity)) as client,
        pytest.raises(SealwrightError) as caught,
    ):
        client.get(Health, "/v1/status")
    return caught.value


@pytest.mark.parametrize(
    ("answer", "family", "words"),
    [
        (reply(200, b""), FormatError, "not JSON"),
        (reply(200, b"<html>log in to the wifi</html>"), FormatError, "not JSON"),
        (reply(200, b'{"challenge": "e30="}'), FormatError, "not in canonical form"),
        (reply(200, b'{"challenge":"e30="}'), FormatError, "missing members"),
        (reply(200, b"[" * 100_000), FormatError, "not JSON"),
        (reply(302, b"", Location="http://127.0.0.1:9/"), FormatError, "not JSON"),
        (reply(200, b"\x1f\x8b\x08\x00", Content_Encoding="gzip"), FormatError, "not JSON"),
        (reply(500, b"oops"), UnavailableError, "answered 500 and not as Sealwright would"),
        (reply(404, b'{"code":"new","detail":"x"}'), UnavailableError, "answered 404"),
        (reply(400, b'{"code":"invalid-document","detail":"x\\u001b[2J"}'), FormatError, "x\x1b[2J"),
        (reply(409, b'{"code":"conflict","detail":"no"}'), RefusedError, "no"),
        (reply(503, b'{"code":"storage-unavailable","detail":"full","retry_after_seconds":7}'), UnavailableError,
         "full"),
    ],
    ids=["empty", "html", "white-space", "no-challenge", "deep", "redirect", "compressed", "text", "odd-code",
         "control", "refused", "unavailable"],
)  # fmt: skip
def test_an_odd_answer_is_an_error_of_its_family(identity, answer, family, words):
    error = ask(answer, identity)
    assert type(error) is family
    assert words in error.message


def test_an_endless_answer_is_given_up(identity, monkeypatch):
    monkeypatch.setattr(api, "MAX_ANSWER_BYTES", 1 << 16)

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(4096))
        except OSError:
            handler.close_connection = True

    error = ask(endless, identity)
    assert isinstance(error, FormatError)
    assert "larger than 65536 bytes" in error.message


def test_a_hung_up_answer_is_unavailable(identity):
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.close_connection = True

    error = ask(cut, identity)
    assert isinstance(error, UnavailableError)
    assert error.exit_code == 75
