"""A real installation on disk with its real processes: server over HTTP, signer behind its socket, keys in files."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sealwright.client import ssh
from sealwright.client.api import Api, Connection
from sealwright.client.compose import new_request, new_vote, prepare_artifact, sign_document
from sealwright.client.drafts import Draft
from sealwright.client.settings import load_trust
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import Envelope, SignatureKind
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.evidence.bundle import TrustFile
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.policy.authorise import rules_of
from sealwright.policy.signatures import Namespace
from sealwright.service.messages import (
    Applied,
    ApplyBody,
    PolicyAnswer,
    ProposalAnswer,
    ProposeBody,
    Result,
    SubmitBody,
    VoteBody,
)
from sealwright.wiring import ceremony, initialise, partitions
from sealwright.wiring.configuration import Configuration, load

PEOPLE = ("ada", "ben", "cleo", "dan")
START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_identity(path: Path) -> Path:
    """Write a plain OpenSSH key and its public half."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(line + b" TEST ONLY\n")
    return path


@dataclass
class Live:
    """One installation with the administrator ``root-a`` and four people, and a product in production."""

    folder: Path
    administrators: tuple[str, ...] = ("root-a",)
    """All of them must sign root and policy."""
    identities: dict[str, Path] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def make(self) -> "Live":
        keys = self.folder / "people"
        keys.mkdir(parents=True)
        for name in (*self.administrators, *PEOPLE):
            self.identities[name] = make_identity(keys / name)
        founding = initialise.Founding(
            folder=self.folder / "i",
            origin="log.example/acme",
            administrators=[(name, ssh.public_key(self.identities[name]).line()) for name in self.administrators],
            threshold=len(self.administrators),
            grade=d.Grade.EVALUATION,
            host="127.0.0.1",
            port=free_port(),
            now=int(time.time()),
        )
        initialise.create(founding, self._sign_root)
        return self

    def _sign_root(self, person: str, document: bytes) -> Envelope:
        identity = self.identities[person]
        digest = bytes.fromhex(document_digest("root", NO_INSTANCE, document))
        return Envelope(
            signer=person,
            authenticator=ssh.public_key(identity).fingerprint,
            kind=SignatureKind.SSHSIG,
            signature=ssh.sign(digest, namespace=Namespace.ROOT, identity=identity),
        )

    @property
    def configuration(self) -> Configuration:
        return load(self.folder / "i")

    def start(self, *names: str) -> "Live":
        for name in names or ("signer", "server"):
            with (self.folder / f"{name}.out").open("ab") as output:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "sealwright.wiring", name, str(self.folder / "i")],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        try:
            self.wait()
        except BaseException:
            self.kill()  # nobody will stop what did not start
            raise
        return self

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(f"{self.configuration.url}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise AssertionError((self.folder / "server.out").read_text())
            time.sleep(0.05)

    def kill(self, *names: str) -> None:
        for name in names or tuple(self.processes):
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(timeout=20)
        self.processes.clear()

    @property
    def trust(self) -> TrustFile:
        return load_trust(self.configuration.trust_file)

    def api(self, person: str) -> Api:
        configuration = self.configuration
        return Api(Connection(url=configuration.url, instance=configuration.instance, identity=self.identities[person]))

    def found_policy(
        self, *, product: str = "router", image_format: str = "raw",
        algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256, size_bits: int = 256,
    ) -> "Live":  # fmt: skip
        """Make keys for a product and log a policy with two approvals."""
        configuration = self.configuration
        with self.api("root-a") as api:
            answer = api.get(PolicyAnswer, "/v1/policy")
            root = records.parse(d.Root, answer.roots[-1].document)
            draft = Draft(
                instance=configuration.instance,
                base_version=records.parse(d.Policy, answer.policy.document).version if answer.policy else 0,
                sections=answer.sections,
                entropy=os.urandom,
            )
            for name in PEOPLE:
                draft.put(
                    d.Person(
                        type="person", format=1, salt="00" * 16, id=name,
                        authenticators=(d.Authenticator(key=ssh.public_key(self.identities[name]).line()),),
                        roles=("developer", "approver"), state=d.State.ACTIVE,
                    )
                )  # fmt: skip
            for environment in (d.Environment.PRODUCTION, d.Environment.DEVELOPMENT):
                groups = (d.QuorumGroup(roles=("approver",), approvals=2, recomputed=0),)
                draft.put(
                    d.Scope(
                        type="scope", format=1, salt="00" * 16, id=f"{product}/{environment}", product=product,
                        environment=environment, requesters=("developer",),
                        quorum=groups if environment is d.Environment.PRODUCTION else (), gates=(),
                        modes=(d.Mode.UPLOAD,), key_grades=tuple(d.KeyGrade), member_states=("DE",),
                    )
                )  # fmt: skip
                order = ceremony.KeyOrder(
                    profile=f"{product}/{environment}/1", algorithm=algorithm, size_bits=size_bits,
                    image_format=image_format,
                )  # fmt: skip
                configuration = partitions.ensure_partition(configuration, partitions.partition_name(order.profile))
                draft.put(ceremony.create_key(configuration, order))
            head = draft.head(document_digest("root", NO_INSTANCE, answer.roots[-1].document), now=int(time.time()))
            assert root.version == 1
            signed = sign_document(
                head, instance=configuration.instance, identity=self.identities["root-a"], signer="root-a"
            )
            made = api.post(
                ProposalAnswer, "/v1/proposals", ProposeBody(kind="policy", signed=signed, sections=draft.sections)
            )
            api.post(Applied, "/v1/apply", ApplyBody(proposals=(made.digest,)))
        return self

    def change_policy(self, change: Callable[[Draft], None]) -> None:
        """Log a policy that differs by ``change`` from the one in force."""
        with self.api("root-a") as api:
            answer = api.get(PolicyAnswer, "/v1/policy")
            assert answer.policy is not None
            draft = Draft(
                instance=self.configuration.instance,
                base_version=records.parse(d.Policy, answer.policy.document).version,
                sections=answer.sections,
                entropy=os.urandom,
            )
            change(draft)
            head = draft.head(document_digest("root", NO_INSTANCE, answer.roots[-1].document), now=int(time.time()))
            signed = sign_document(
                head, instance=self.configuration.instance, identity=self.identities["root-a"], signer="root-a"
            )
            body = ProposeBody(kind="policy", signed=signed, sections=draft.sections)
            api.post(
                Applied, "/v1/apply", ApplyBody(proposals=(api.post(ProposalAnswer, "/v1/proposals", body).digest,))
            )

    def submission(
        self, person: str = "ada", image: bytes = b"firmware", **changes: Any
    ) -> tuple[d.Request, SubmitBody]:
        """Compose and sign a request of ``person`` for a raw image in production."""
        with self.api(person) as api:
            in_force = needed(fetch(api, self.trust))
        environment = changes.get("environment", d.Environment.PRODUCTION)
        profile = in_force.sections.get(d.KeyProfile, f"router/{environment}/1")
        assert profile is not None
        now = int(time.time())
        prepared = prepare_artifact(
            MemorySource(image), "firmware.bin", FORMATS["raw"], [profile], {"signing_time": now}
        )
        request = new_request(
            [prepared], log=in_force.origin, requester=person, product="router", release="1.0",
            environment=d.Environment(environment), now=now, lifetime_seconds=3600, entropy=os.urandom,
        )  # fmt: skip
        instance, identity = self.configuration.instance, self.identities[person]
        signed = sign_document(request, instance=instance, identity=identity, signer=person)
        return request, SubmitBody(request=signed, messages=prepared.messages)

    def submit(self, person: str = "ada", image: bytes = b"firmware", **changes: Any) -> tuple[d.Request, Result]:
        """Upload the image and submit a request for it."""
        request, body = self.submission(person, image, **changes)
        with self.api(person) as api:
            api.upload(MemorySource(image), request.artifacts[0].sha256)
            return request, api.post(Result, "/v1/requests", body)

    def ballot(
        self, request: d.Request, person: str, decision: d.Decision = d.Decision.APPROVE, reason: str = "wrong build"
    ) -> VoteBody:
        """Compose and sign a vote of ``person``."""
        with self.api(person) as api:
            _, _, rules = rules_of(request, needed(fetch(api, self.trust)))
        vote = new_vote(
            request, instance=self.configuration.instance, rules=rules, decision=decision, person=person,
            now=int(time.time()), entropy=os.urandom, reason=reason if decision is d.Decision.REJECT else "",
        )  # fmt: skip
        instance, identity = self.configuration.instance, self.identities[person]
        return VoteBody(vote=sign_document(vote, instance=instance, identity=identity, signer=person))

    def approve(self, request: d.Request, *people: str) -> None:
        """Have people approve a request."""
        for person in people:
            with self.api(person) as api:
                api.post(Result, f"/v1/requests/{request.id}/approve", self.ballot(request, person))

    def result(self, request: d.Request, person: str = "ada", wait: int = 20) -> Result:
        """Wait for a request to be finished."""
        with self.api(person) as api:
            return api.get(Result, f"/v1/requests/{request.id}/result", wait=wait)
