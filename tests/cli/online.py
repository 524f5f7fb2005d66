"""People at the command line against real processes: each with their own configuration folder."""

import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.simulators.live import Live, make_identity

from sealwright.cli.main import main
from sealwright.client import ssh
from sealwright.client.compose import sign_document
from sealwright.client.drafts import Draft
from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.keys import Algorithm
from sealwright.policy import documents as d
from sealwright.service.messages import Applied, ApplyBody, PolicyAnswer, ProposalAnswer, ProposeBody
from sealwright.wiring import ceremony, partitions


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Terminal:
    """Runs commands in this process as one person or another."""

    live: Live
    capsys: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    trust: Path | None = None
    """Another trust file than the one that was connected with."""

    def run(self, person: str, *arguments: object) -> Said:
        """Run a command; never a traceback."""
        self.patch.setenv("SEALWRIGHT_CONFIG", str(self.live.folder / f"config-{person}"))
        for variable in ("URL", "TRUST", "IDENTITY"):
            self.patch.delenv(f"SEALWRIGHT_{variable}", raising=False)
        self.capsys.readouterr()
        if self.trust:
            self.patch.setenv("SEALWRIGHT_TRUST", str(self.trust))
        self.patch.setenv("SEALWRIGHT_DEBUG", "1")  # a bug shows itself
        code = main([str(a) for a in arguments])
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    def good(self, person: str, *arguments: object) -> Said:
        """Run a command that succeeds."""
        said = self.run(person, *arguments)
        assert said.code == 0, said
        return said

    def connected(self, *people: str) -> "Terminal":
        """Connect those who are not connected yet; return the terminal."""
        for person in people:
            if not (self.live.folder / f"config-{person}").exists():
                self.connect(person)
        return self

    def connect(self, person: str) -> Said:
        """Connect one of the installation's people."""
        return self.good(
            person, "connect", self.live.configuration.url, "--trust", self.live.configuration.trust_file,
            "--identity", self.live.identities[person],
        )  # fmt: skip

    def sign(self, image: Path, *arguments: object, person: str = "ada", release: str = "1.0") -> str:
        """Request a signature and return the request's id."""
        command = ("sign", image, "--product", "router", "--release", release, "--new", *arguments, "--json")
        return str(self.good(person, *command).json["id"])


def more_policy(live: Live) -> None:
    """Add what the commands must choose among: a second key, a product of another format, a build pipeline."""
    live.found_policy(product="sensor", image_format="mcuboot")
    settings = live.configuration
    with live.api("root-a") as api:
        answer = api.get(PolicyAnswer, "/v1/policy")
        assert answer.policy is not None
        draft = Draft(
            instance=settings.instance,
            base_version=records.parse(d.Policy, answer.policy.document).version,
            sections=answer.sections,
            entropy=os.urandom,
        )
        for name, algorithm, image_format in (
            ("router/test/1", Algorithm.ECDSA_P256_SHA256, "raw"),
            ("router/test/2", Algorithm.ECDSA_P256_SHA256, "raw"),
            ("router/test/boot", Algorithm.ED25519, "mcuboot"),
        ):
            order = ceremony.KeyOrder(profile=name, algorithm=algorithm, size_bits=256, image_format=image_format)
            settings = partitions.ensure_partition(settings, partitions.partition_name(name))
            draft.put(ceremony.create_key(settings, order))
        known = draft.get(d.Scope, "router/development")
        assert known is not None
        draft.put(replace(known, id="router/test", environment=d.Environment.TEST))
        live.identities["pipeline-a"] = make_identity(live.folder / "people" / "pipeline-a")
        draft.put(
            d.Pipeline(
                type="pipeline", format=1, salt="00" * 16, id="pipeline-a",
                authenticators=(d.Authenticator(key=ssh.public_key(live.identities["pipeline-a"]).line()),),
                controllers=("dan",), roles=("developer",), state=d.State.ACTIVE,
            )
        )  # fmt: skip
        live.identities["eve"] = make_identity(live.folder / "people" / "eve")
        draft.put(
            d.Person(
                type="person", format=1, salt="00" * 16, id="eve",
                authenticators=(d.Authenticator(key=ssh.public_key(live.identities["eve"]).line()),),
                roles=("developer",), state=d.State.ACTIVE,
            )
        )  # fmt: skip
        head = draft.head(document_digest("root", NO_INSTANCE, answer.roots[-1].document), now=int(time.time()))
        signed = sign_document(head, instance=settings.instance, identity=live.identities["root-a"], signer="root-a")
        body = ProposeBody(kind="policy", signed=signed, sections=draft.sections)
        made = api.post(ProposalAnswer, "/v1/proposals", body)
        api.post(Applied, "/v1/apply", ApplyBody(proposals=(made.digest,)))
