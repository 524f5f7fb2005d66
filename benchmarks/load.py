"""A load generator: many clients in one lean process, each with one kept connection, raw HTTP/1.1 over asyncio.

Requests and votes are signed beforehand, because that is the work of other machines.  What is timed, for each request:
upload of its images, the request with its votes, and the answer that holds the signatures.  A sample of these is
verified afterwards.  ``python -m benchmarks.load PLAN`` prints one JSON object.
"""

import asyncio
import base64
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.simulators.instance import SoftPerson
from tests.simulators.live import Live

from sealwright.client.compose import PreparedArtifact, new_request, new_vote, prepare_artifact
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.images import MemorySource
from sealwright.core.keys import PublicKey
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.policy.authorise import rules_of
from sealwright.policy.sections import Sections
from sealwright.policy.signatures import Namespace
from sealwright.service.messages import Challenge, ChallengeAnswer, ChallengeBody, LoginAnswer, LoginBody, SubmitBody

IMAGE_BYTES = 1024
WAIT_SECONDS = 60
SAMPLE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run of the generator does."""

    folder: str
    """Of the ``Live`` installation."""
    port: int
    clients: int
    requests: int
    artifacts: int
    is_uploading: bool
    """Whether uploads are part of what is timed; if not, all requests are for the same images, uploaded before."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request, ready to be sent."""

    uploads: tuple[bytes, ...]
    submission: bytes
    slots: tuple[d.RequestSlot, ...]


class Maker:
    """Makes signed requests with two approvals, as their people would."""

    def __init__(self, folder: Path, port: int) -> None:
        self.people = {name: _person(name, folder / "people" / name) for name in ("ada", "ben", "cleo")}
        live = Live(folder)
        live.identities = {name: folder / "people" / name for name in self.people}
        self.port, self.origin, self.instance = port, live.configuration.origin, live.configuration.instance
        with live.api("ada") as api:
            self.sections: Sections = needed(fetch(api, live.trust)).sections
            self.standing = needed(fetch(api, live.trust))
        profile = self.sections.get(d.KeyProfile, "router/production/1")
        assert profile
        self.profile, self.now, self.token = profile, int(time.time()), ""

    def artifacts(self, count: int) -> list[tuple[bytes, PreparedArtifact]]:
        images = [os.urandom(IMAGE_BYTES) for _ in range(count)]
        options = {"signing_time": self.now}
        return [
            (image, prepare_artifact(MemorySource(image), f"{i}.bin", FORMATS["raw"], [self.profile], options))
            for i, image in enumerate(images)
        ]

    def job(self, artifacts: list[tuple[bytes, PreparedArtifact]], *, is_uploading: bool) -> Job:
        request = new_request(
            [prepared for _, prepared in artifacts], log=self.origin, requester="ada", product="router", release="1",
            environment=d.Environment.PRODUCTION, now=self.now, lifetime_seconds=3600, entropy=os.urandom,
        )  # fmt: skip
        rules = rules_of(request, self.standing)[2]
        votes = [
            new_vote(request, instance=self.instance, rules=rules, decision=d.Decision.APPROVE, person=name,
                     now=self.now, entropy=os.urandom)
            for name in ("ben", "cleo")
        ]  # fmt: skip
        body = SubmitBody(
            request=self._signed(request, "ada", Namespace.REQUEST),
            votes=tuple(self._signed(vote, vote.person, Namespace.VOTE) for vote in votes),
        )
        return Job(
            uploads=tuple(self.upload(image) for image, _ in artifacts) if is_uploading else (),
            submission=self.http("POST", f"/v1/requests?wait={WAIT_SECONDS}", records.serialise(body)),
            slots=request.slots,
        )

    def upload(self, image: bytes) -> bytes:
        return self.http("PUT", f"/v1/images/{hashlib.sha256(image).hexdigest()}", image)

    def http(self, method: str, path: str, body: bytes) -> bytes:
        lines = (f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {self.token}",
                 f"Content-Length: {len(body)}")  # fmt: skip
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def _signed(self, record: d.Request | d.Vote, name: str, namespace: Namespace) -> SignedDocument:
        document = records.serialise(record)
        digest = document_digest(record.type, self.instance, document)
        return SignedDocument(document=document, signatures=(self.people[name].sign(digest, namespace),))

    async def log_in(self) -> None:
        connection = await Connection.open(self.port)
        ask = ChallengeBody(authenticator=self.people["ada"].key.fingerprint)
        answer = await connection.call(self.http("POST", "/v1/challenge", records.serialise(ask)))
        challenge = records.parse(ChallengeAnswer, answer).challenge
        digest = document_digest("login", self.instance, challenge)
        assert records.parse(Challenge, challenge).person == "ada"
        body = LoginBody(challenge=challenge, envelope=self.people["ada"].sign(digest, Namespace.LOGIN))
        self.token = records.parse(
            LoginAnswer, await connection.call(self.http("POST", "/v1/login", records.serialise(body)))
        ).token
        connection.close()


class Connection:
    """One kept HTTP connection; reads answers with a Content-Length only."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))

    async def call(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await self._reader.readexactly(int(length or 0))
        if not 200 <= int(head[9:12]) < 300:
            raise RuntimeError(f"{head!r} {body!r}")
        return body

    def close(self) -> None:
        self._writer.close()


async def run(plan: Plan) -> dict[str, float]:
    """Prepare everything, then let all clients work until nothing is left."""
    maker = Maker(Path(plan.folder), plan.port)
    await maker.log_in()
    jobs = await _prepare(maker, plan)
    connections = [await Connection.open(plan.port) for _ in range(plan.clients)]
    queue, latencies, answers = iter(jobs), list[float](), list[tuple[Job, bytes]]()

    async def client(connection: Connection, queue: Iterator[Job]) -> None:
        for job in queue:
            start = time.perf_counter()
            for upload in job.uploads:
                await connection.call(upload)
            answer = await connection.call(job.submission)
            latencies.append(time.perf_counter() - start)
            answers.append((job, answer))

    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client(connection, queue) for connection in connections))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    for connection in connections:
        connection.close()
    signatures = _verify(answers, maker.profile)
    latencies.sort()
    return {
        "seconds": seconds,
        "requests": len(jobs),
        "signatures": signatures,
        "median_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
        "cpu_seconds": cpu,
    }


async def _prepare(maker: Maker, plan: Plan) -> list[Job]:
    if plan.is_uploading:
        return [maker.job(maker.artifacts(plan.artifacts), is_uploading=True) for _ in range(plan.requests)]
    shared = maker.artifacts(plan.artifacts)
    connection = await Connection.open(plan.port)
    for image, _ in shared:
        await connection.call(maker.upload(image))
    connection.close()
    return [maker.job(shared, is_uploading=False) for _ in range(plan.requests)]


def _verify(answers: list[tuple[Job, bytes]], profile: d.KeyProfile) -> int:
    """Count the signatures that came back, and verify those of a sample of the requests."""
    key, count = PublicKey(profile.public_key), 0
    for i, (job, answer) in enumerate(answers):
        result = json.loads(answer)
        if result["status"]["state"] != "signed" or len(result["signatures"]) != len(job.slots):
            raise RuntimeError(f"not signed: {answer!r}")
        count += len(job.slots)
        if i % max(1, len(answers) // SAMPLE) == 0:
            for slot, signature in zip(job.slots, result["signatures"], strict=True):
                key.verify(profile.algorithm, bytes.fromhex(slot.digest), base64.b64decode(signature))
    return count


def _person(name: str, path: Path) -> SoftPerson:
    key = serialization.load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return SoftPerson(name, key)


def arguments(plan: Plan) -> list[str]:
    """Return the command that carries out a plan."""
    return [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(plan))]


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asyncio.run(run(Plan(**json.loads(sys.argv[1]))))))
