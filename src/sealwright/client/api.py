"""The HTTP side of the client: log in with one's SSH key, then records out and records in."""

import json
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from sealwright.client import ssh
from sealwright.client.compose import sign_bytes
from sealwright.core import records
from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    SealwrightError,
    UnavailableError,
    VerificationError,
)
from sealwright.core.images import ByteSource, read_chunks
from sealwright.service.messages import (
    NOBODY,
    Challenge,
    ChallengeAnswer,
    ChallengeBody,
    LoginAnswer,
    LoginBody,
)

if TYPE_CHECKING:
    import httpx

Answer = TypeVar("Answer")
TIMEOUT_SECONDS = 90.0
TRUST_HINT = "get this server's trust file from whoever runs it, by a way you trust"
AUTHORITIES_HINT = (
    "a certificate of your own authority: `sealwright connect --ca FILE` or SEALWRIGHT_CA names the authority's; "
    "else look at who answers there"
)
MAX_ANSWER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the server is, who we are to it, and with which key."""

    url: str
    instance: str
    identity: Path
    log: str = ""
    """Name of the instance's log, for a server of another one to be told as such."""
    authorities: Path | None = None
    """PEM file with the authorities that the server's certificate may be of, instead of the machine's own."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whole and of bounded size."""

    status_code: int
    content: bytes


class Api:
    """Calls of one client; logs in when first needed, and again when the session is over."""

    def __init__(self, connection: Connection) -> None:
        library = _httpx()
        self._connection, self._error = connection, library.HTTPError
        try:
            self._http: httpx.Client = library.Client(
                base_url=connection.url,
                timeout=TIMEOUT_SECONDS,
                verify=_tls(connection.url, connection.authorities),
                headers={"Accept-Encoding": "identity"},  # a few compressed bytes could fill the memory
            )
        except (library.InvalidURL, ValueError) as e:
            raise ConfigurationError(f"{connection.url} is not a URL: {e}", setting="url") from None
        self._token = ""
        self.person = ""
        """Who the server says we are; known after the first call."""

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, answer: type[Answer], path: str, **query: str | int | list[str]) -> Answer:
        """Make a reading call."""
        return records.parse(answer, self._call("GET", path, params=query).content, max_bytes=MAX_ANSWER_BYTES)

    def post(self, answer: type[Answer], path: str, body: Any, **query: str | int) -> Answer:
        """Make a call with a record as its body."""
        content = records.serialise(body)
        response = self._call("POST", path, params=query, content=content)
        return records.parse(answer, response.content, max_bytes=MAX_ANSWER_BYTES)

    def delete(self, answer: type[Answer], path: str) -> Answer:
        """Make a call that takes something back."""
        return records.parse(answer, self._call("DELETE", path).content, max_bytes=MAX_ANSWER_BYTES)

    def upload(self, image: ByteSource, sha256: str) -> None:
        """Send an image unless the server has it."""
        self._log_in()
        if self._send("HEAD", f"/v1/images/{sha256}", headers=self._headers()).status_code == 200:
            return
        self._call("PUT", f"/v1/images/{sha256}", content=_chunks(image))

    def download(self, sha256: str) -> Iterator[bytes]:
        """Yield an image of a request in chunks."""
        self._log_in()
        with self._http.stream("GET", f"/v1/images/{sha256}", headers=self._headers()) as response:
            if response.status_code != 200:
                raise _error(Reply(response.status_code, _read(response)))
            yield from response.iter_raw(1 << 20)

    def _call(self, method: str, path: str, **arguments: Any) -> Reply:
        self._log_in()
        response = self._send(method, path, headers=self._headers(), **arguments)
        if response.status_code == 401 and not isinstance(arguments.get("content"), Iterator):
            self._token = ""
            self._log_in()
            response = self._send(method, path, headers=self._headers(), **arguments)
        if response.status_code >= 400:
            raise _error(response)
        return response

    def _log_in(self) -> None:
        if self._token:
            return
        connection = self._connection
        authenticator = ssh.public_key(connection.identity).fingerprint
        body = records.serialise(ChallengeBody(authenticator=authenticator))
        response = self._send("POST", "/v1/challenge", content=body)
        if response.status_code >= 400:
            raise _error(response)
        challenge = records.parse(ChallengeAnswer, response.content).challenge
        asked = records.parse(Challenge, challenge)
        if connection.log and asked.log != connection.log:
            raise VerificationError(
                f"{connection.url} is of another installation than the trust file",
                expected=connection.log,
                got=asked.log,
                code=Code.NOT_TRUSTED,
                hint=TRUST_HINT,
            )
        self.person = asked.person
        if self.person == NOBODY:
            raise RefusedError(
                f"{connection.url} knows nobody with key {authenticator}: it was revoked, or is in no policy in force",
                code=Code.NOT_AUTHENTICATED,
                hint="is it the right one? others see in `sealwright people list` whether it or its person is revoked; "
                "administrators add keys: `sealwright people add`",
            )
        envelope = sign_bytes(
            challenge, "login", instance=connection.instance, identity=connection.identity, signer=self.person
        )
        body = records.serialise(LoginBody(challenge=challenge, envelope=envelope))
        response = self._send("POST", "/v1/login", content=body)
        if response.status_code >= 400:
            raise self._login_error(_error(response))
        self._token = records.parse(LoginAnswer, response.content).token

    def _login_error(self, error: SealwrightError) -> SealwrightError:
        """Say which instance one logged in to: a login for another one of the same log name is refused as unsigned."""
        if error.code is not Code.NOT_AUTHENTICATED:
            return error
        connection = self._connection
        return RefusedError(
            f"{connection.url} does not accept a login to installation {connection.instance[:16]}: {error.message}",
            code=error.code,
            hint=f"try again; or is the trust file of another installation? {TRUST_HINT}",
        )

    def who(self) -> str:
        """Return the person id that the server knows our key by."""
        self._log_in()
        return self.person

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _send(self, method: str, path: str, **arguments: Any) -> Reply:
        try:
            with self._http.stream(method, path, **arguments) as response:
                return Reply(response.status_code, _read(response))
        except self._error as e:
            is_unknown = "certificate verify failed" in str(e).lower()
            raise UnavailableError(
                f"{self._connection.url} does not answer ({type(e).__name__}: {e})",
                code=Code.SERVER_UNAVAILABLE,
                hint=AUTHORITIES_HINT if is_unknown else "is it running? `sealwright up` starts it",
            ) from e


def _httpx() -> ModuleType:
    """Import httpx for whoever calls a server, and not for help; it is a fifth of a command's start.

    Its own command line would bring Rich along, and take as long again (docs/adr/0010).
    """
    without: dict[str, Any] = sys.modules
    hidden = without.setdefault("httpx._main", None) is None
    import httpx  # noqa: PLC0415

    if hidden:
        del without["httpx._main"]
    return httpx


def _tls(url: str, authorities: Path | None = None) -> ssl.SSLContext:
    """Return what judges the server's certificate; plain HTTP needs no authorities, and reading them takes long."""
    if url.startswith("https:"):
        try:
            return ssl.create_default_context(cafile=authorities)
        except OSError as e:  # SSLError is one
            raise ConfigurationError(
                f"{authorities} holds no certificates of authorities: {e.strerror or e}",
                setting="--ca",
                hint="a PEM file; `sealwright connect` again with another one",
            ) from None
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody


def _chunks(image: ByteSource) -> Iterator[bytes]:
    yield from read_chunks(image, 0, image.size)


def _read(response: "httpx.Response") -> bytes:
    parts, total = [], 0
    for part in response.iter_raw():
        total += len(part)
        if total > MAX_ANSWER_BYTES:
            raise FormatError(
                f"the server's answer is larger than {MAX_ANSWER_BYTES} bytes", code=Code.INVALID_DOCUMENT
            )
        parts.append(part)
    return b"".join(parts)


def _error(response: Reply) -> SealwrightError:
    """Turn a problem document back into the error that it was."""
    try:
        problem = json.loads(response.content)
        code, detail, hint = Code(problem["code"]), str(problem["detail"]), str(problem.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        return UnavailableError(
            f"the server answered {response.status_code} and not as Sealwright would",
            code=Code.SERVER_UNAVAILABLE,
            hint="is a proxy in between? is the URL right?",
        )
    if response.status_code == 400:
        return FormatError(detail, code=code, hint=hint)
    if response.status_code == 503:
        return UnavailableError(
            detail, code=code, hint=hint, retry_after_seconds=int(problem.get("retry_after_seconds", 1))
        )
    if code in (Code.IMAGE_MISMATCH, Code.SIGNATURE_MISMATCH, Code.SLOTS_DIFFER):
        return VerificationError(detail, code=code, hint=hint)
    if code is Code.INTERNAL:
        return SealwrightError(detail, code=code, hint=hint)
    return RefusedError(detail, code=code, hint=hint)
