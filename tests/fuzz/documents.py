"""Targets that are no firmware format: documents, signatures, the log, evidence, frames between processes."""

import hashlib
from functools import cache
from typing import Any, cast

from tests.fuzz import values
from tests.fuzz.harness import Finding, Target, known, refused
from tests.independent.both import value

from sealwright.core import canonical, lms, records, ssharmour, sshbrowser, sshsig
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.core.patches import Patch
from sealwright.evidence import key_attestation
from sealwright.evidence.bundle import MAX_EVIDENCE_BYTES, Dossier, Evidence, TrustFile
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS
from sealwright.keystores import frames
from sealwright.policy import documents, entries, minutes
from sealwright.signer import protocol
from sealwright.translog import checkpoints, merkle, notes, tiles

RECORDS: tuple[type[Any], ...] = (
    documents.Root,
    documents.Policy,
    documents.Person,
    documents.Pipeline,
    documents.GateKey,
    documents.KeyProfile,
    documents.Scope,
    documents.Request,
    documents.Report,
    documents.Vote,
    documents.Restriction,
    documents.Session,
    documents.Outcome,
    minutes.Minutes,
    TrustFile,
    Dossier,
    Patch,
)
ATTESTED_AT, MAX_TIME = 1_790_000_000, 1 << 40
MESSAGE, NAMESPACE = b"message", "file"


def any_record(data: bytes) -> None:
    """Canonical JSON, each kind of document, and entries of the log: what is read says the same when written."""
    text = data.decode("utf-8", "replace")
    refused(lambda: canonical.from_base64(text))
    if refused(lambda: canonical.decode(data)) is None:
        return
    for record in RECORDS:
        _read_again(record, data)
    entry = refused(lambda: entries.parse_entry(data))
    if entry is not None and entries.parse_entry(records.serialise(entry)) != entry:
        raise Finding("an entry is another one when it is read again")


def _read_again(record: type[Any], data: bytes, max_bytes: int = canonical.MAX_DOCUMENT_BYTES) -> Any:
    found = refused(lambda: records.parse(record, data, max_bytes=max_bytes))
    if found is not None and records.parse(record, records.serialise(found), max_bytes=max_bytes) != found:
        raise Finding("a document is another one when it is read again")
    return found


def ssh_signature(data: bytes) -> None:
    """The input as a key, a key line, a signature and its armour."""
    refused(lambda: sshsig.parse_public_key(data))
    text = data.decode("utf-8", "replace")
    refused(lambda: sshsig.parse_public_key(text))
    refused(lambda: ssharmour.dearmour(text))
    for key in _ssh_keys():
        refused(lambda: sshsig.verify(data, key=key, namespace=NAMESPACE, message=MESSAGE))  # noqa: B023
        _in_a_browser(data, key)
        if refused(lambda: sshsig.verify(data, key=key, namespace=NAMESPACE, message=b"other")):  # noqa: B023
            raise Finding("a signature is accepted for another message")


def _in_a_browser(data: bytes, key: sshsig.SshPublicKey) -> None:
    told = {"origins": {"https://sign.example"}, "application": "ssh:"}
    refused(lambda: sshbrowser.verify(data, key=key, namespace=NAMESPACE, message=MESSAGE, **told))


@cache
def _ssh_keys() -> tuple[sshsig.SshPublicKey, ...]:
    return tuple(sshsig.parse_public_key(line.decode()) for line in known("sshsig").sidecars.values())


def hash_based_signature(data: bytes) -> None:
    """The input as an HSS/LMS public key and as a signature by a known one."""
    refused(lambda: lms.parse_public_key(data))
    for key in _lms_keys():
        refused(lambda: lms.leaf_indices(key, data))  # noqa: B023
        refused(lambda: _true(lms.verify(key, MESSAGE, data)))  # noqa: B023
        if refused(lambda: _true(lms.verify(key, MESSAGE + b"!", data))):  # noqa: B023
            raise Finding("a signature is accepted for another message")


@cache
def _lms_keys() -> tuple[lms.HssKey, ...]:
    return tuple(lms.parse_public_key(cast(HssLmsPublicKey, key.key).raw) for key in known("lms").keys)


def _true(_: None) -> bool:
    return True


def note(data: bytes) -> None:
    """Notes, checkpoints and verifier keys; an accepted checkpoint is the one that the log signed."""
    refused(lambda: checkpoints.parse_checkpoint(data))
    text = data.decode("utf-8", "replace")
    key = refused(lambda: notes.parse_vkey(text))
    if key is not None and str(key) != text:
        raise Finding("a verifier key has two spellings")
    found = refused(lambda: notes.parse_note(data))
    if found is None:
        return
    keys = [notes.parse_vkey(values.log()[name]) for name in ("log_key", "witness_key")]
    if refused(lambda: found.verify(keys)) and found.text != values.notes()["text"]:
        raise Finding("a checkpoint is accepted that nobody signed")


def tile(data: bytes) -> None:
    """Bundles of entries, paths of tiles, and proofs."""
    count, rest = data[:1], data[1:]
    found = refused(lambda: tiles.decode_bundle(rest, int.from_bytes(count)))
    if found and tiles.encode_bundle(found) != rest:
        raise Finding("a bundle has two spellings")
    text = data.decode("utf-8", "replace")
    place = refused(lambda: tiles.parse_path(text))
    if place is not None and place.path != text:
        raise Finding("the path of a tile has two spellings")
    numbers = [int.from_bytes(data[at : at + 4]) for at in (0, 4)]
    proof = [data[at : at + 32] for at in range(8, len(data), 32)]
    root = merkle.EMPTY_ROOT
    leaf = bytes(32)
    if refused(lambda: _true(merkle.verify_inclusion(leaf, index=numbers[0], size=numbers[1], proof=proof, root=root))):
        raise Finding("a proof leads to the root of the empty log")
    refused(
        lambda: merkle.verify_consistency(
            old_size=numbers[0], old_root=leaf, new_size=numbers[1], new_root=bytes([1] * 32), proof=proof
        )
    )


def evidence(data: bytes) -> None:
    """Evidence of a known image: what is accepted is the request that was approved, and its outcome."""
    found = _read_again(Evidence, data, MAX_EVIDENCE_BYTES)
    if found is None:
        return
    image, truth, trust = value("boot.bin"), values.boot(), _trust()
    if refused(lambda: verify_evidence(found, MemorySource(image), trust, FORMATS)) is None:
        return
    if _told(found) != _told(truth):
        raise Finding("evidence is accepted that nobody made")
    if refused(lambda: verify_evidence(found, MemorySource(image + b"!"), trust, FORMATS)) is not None:
        raise Finding("evidence is accepted for another image")


def _told(found: Evidence) -> tuple[Any, ...]:
    return found.request.document, found.outcome.document, found.patch, found.signatures, found.artifact


@cache
def _trust() -> TrustFile:
    return records.parse(TrustFile, value("trust.json"))


def signer_frame(data: bytes) -> None:
    """A frame between server and signer, in either direction."""
    refused(lambda: protocol.frame_length(data[: protocol.LENGTH_BYTES]))
    for record in (protocol.Round, protocol.RoundResult):
        _read_again(record, data, protocol.MAX_FRAME_BYTES)


class _Wire:
    """The receiving end of a socket whose other side has sent these bytes and is gone."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def gettimeout(self) -> None:
        """Wait without end: whatever comes is here."""

    def recv(self, size: int) -> bytes:
        found, self.data = self.data[:size], self.data[size:]
        return found


def worker_frame(data: bytes) -> None:
    """A frame between signer and worker: a request, counters, answers."""
    try:
        parts = refused(lambda: frames.Incoming(cast(Any, _Wire(data))).receive())
    except EOFError:  # as documented: the other side is gone
        return
    if parts is None:
        return
    if frames.encode(parts) != data[: 4 + int.from_bytes(data[:4])]:
        raise Finding("a frame has two spellings")
    runs = refused(lambda: [*frames.unpack_runs(parts[1:])])
    if runs is not None and frames.pack_runs(runs)[1:] != parts[1:]:
        raise Finding("a request is another one when it is written again")
    answers = refused(lambda: frames.unpack_answers(parts))
    if answers is not None and frames.unpack_answers(frames.pack_answers(answers)) != answers:
        raise Finding("an answer is another one when it is read again")
    for part in parts:
        refused(lambda: frames.unpack_counter(part))  # noqa: B023


def public_key(data: bytes) -> None:
    """A public key in DER, as documents and CMS hold it, and what it says of a signature that is none."""
    if refused(lambda: PublicKey(data).key) is None:
        return
    key = PublicKey(data)
    for algorithm in Algorithm:
        payload = bytes(hashlib.new(algorithm.hash_name).digest_size)
        if refused(lambda: _true(key.verify(algorithm, payload, bytes(64)))):  # noqa: B023
            raise Finding("zeros are accepted as a signature")


def ceremony_script(data: bytes) -> None:
    """The TOML of a key ceremony."""
    refused(lambda: minutes.parse_script(data))


def attestation(data: bytes) -> None:
    """A vendor's certificate for a key, in each place of a known chain, now and at the last time of documents."""
    said = known("key-attestation").sidecars
    roots, device, authority = key_attestation.load_roots(said["roots"]), said["device"], said["authority"]
    for chain in ((data, device, authority), (said["leaf"], data, authority), (said["leaf"], device, data)):
        for at_seconds in (ATTESTED_AT, MAX_TIME):
            if refused(
                lambda: key_attestation.verify_yubihsm(chain, roots, said["key"], at_seconds=at_seconds)  # noqa: B023
            ) is not None and not _is_known_certificate(data):
                raise Finding("an attestation is accepted that the device did not make")


def _is_known_certificate(data: bytes) -> bool:
    said = known("key-attestation").sidecars
    known_ones = (key_attestation.load_certificate(said[name]) for name in ("leaf", "device", "authority"))
    mutant = key_attestation.load_certificate(data)
    return mutant.tbs_certificate_bytes in {one.tbs_certificate_bytes for one in known_ones}


TARGETS: dict[str, Target] = {
    "records": Target(run=any_record, is_json=True, inputs=values.documents),
    "evidence": Target(run=evidence, is_json=True, inputs=values.evidence),
    "sshsig": Target(run=ssh_signature),
    "lms": Target(run=hash_based_signature),
    "notes": Target(run=note, inputs=values.notes),
    "tiles": Target(run=tile, inputs=values.tiled),
    "signer-protocol": Target(run=signer_frame, is_json=True, inputs=values.rounds),
    "keystore-frames": Target(run=worker_frame, inputs=values.worker_frames),
    "public-keys": Target(run=public_key),
    "ceremony-script": Target(run=ceremony_script),
    "key-attestation": Target(run=attestation),
}
