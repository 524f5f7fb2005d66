"""Inputs that are the test values of the specification, or made of them: evidence, documents, a log, frames."""

import json
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.independent.both import value
from tests.independent.mutations import spelled

from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.core.keys import Algorithm
from sealwright.evidence.bundle import MAX_EVIDENCE_BYTES, Evidence
from sealwright.keystores import frames
from sealwright.keystores.numbers import Block, Counter
from sealwright.signer import protocol
from sealwright.translog import tiles

Inputs = Mapping[str, bytes]
NAMES = ("root", "policy", "person", "scope", "key-profile-boot", "request", "report", "vote-ben", "session", "outcome")


@cache
def log() -> Any:
    """The log of the values."""
    return json.loads(value("log.json"))


@cache
def boot() -> Evidence:
    """The evidence of the image ``boot.bin``."""
    return records.parse(Evidence, value("boot.bin.sealwright"), max_bytes=MAX_EVIDENCE_BYTES)


def evidence() -> Inputs:
    return {"boot": value("boot.bin.sealwright"), "app": value("app.bin.sealwright")}


def documents() -> Inputs:
    found = {name: spelled(json.loads(value(f"{name}.json"))["document"]) for name in NAMES}
    found |= {f"entry-{number}": spelled(logged["entry"]) for number, logged in enumerate(log()["entries"])}
    return found | {"trust": spelled(json.loads(value("trust.json"))), "patch": records.serialise(boot().patch)}


def notes() -> Inputs:
    checkpoint = log()["checkpoint"].encode()
    keys = {name: log()[name].encode() for name in ("log_key", "witness_key")}
    return {"checkpoint": checkpoint, "text": checkpoint.partition(b"\n\n")[0] + b"\n", **keys}


def tiled() -> Inputs:
    entries = [boot().intent.entry, b"", b"entry"]
    return {
        "bundle": bytes([len(entries)]) + tiles.encode_bundle(entries),
        "path": tiles.Tile(1, 1234567, 7).path.encode(),
        "proof": struct.pack(">II", 3, 8) + bytes(range(96)),
    }


def rounds() -> Inputs:
    evidence = boot()
    order = protocol.SignOrder(
        intent_index=7, request=evidence.request, votes=evidence.votes, reports=(), messages=(b"message",)
    )
    given = protocol.Round(
        start=7,
        entries=(evidence.intent.entry,),
        checkpoint=log()["checkpoint"].encode(),
        sections=(b"{}",),
        sign=(order,),
        release=(1,),
    )
    refusal = protocol.Refusal(code=Code.VETOED, message="vetoed")
    result = protocol.RoundResult(
        signer="signer-1",
        size=8,
        needs_policy=False,
        session="0" * 64,
        signed=(protocol.Signed(intent_index=7, outcome=evidence.outcome),),
        released=(
            protocol.Released(intent_index=1, signatures=(b"s",)),
            protocol.Released(intent_index=2, refusal=refusal),
        ),
    )
    return {"round": records.serialise(given), "result": records.serialise(result)}


def worker_frames() -> Inputs:
    items = [
        frames.Item("ab" * 32, Algorithm.ECDSA_P256_SHA256, bytes(32)),
        frames.Item("cd" * 32, Algorithm.HSS_LMS, b"message", Block(5, 8)),
    ]
    failure = frames.Failure(code=Code.CREDENTIAL, message="no")
    parts = {
        "sign": frames.pack_runs(frames.runs_of(items)),
        "answers": frames.pack_answers([b"s", failure]),
        "counters": frames.pack_answers([frames.pack_counter("ab" * 32, Counter(5, 32))]),
    }
    return {name: frames.encode(pieces) for name, pieces in parts.items()}
