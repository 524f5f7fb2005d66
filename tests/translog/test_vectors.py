"""Public test vectors of other implementations: proofs, a Tessera log, a Sunlight mirror with cosignatures."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from tests.conftest import VECTORS, vectors

from sealwright.core.errors import VerificationError
from sealwright.translog.checkpoints import parse_checkpoint
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.merkle import leaf_hash, node_hash, root_of, verify_consistency, verify_inclusion
from sealwright.translog.notes import parse_note, parse_vkey
from sealwright.translog.tiles import Tile, decode_bundle, perfect_root

FOLDER = VECTORS / "merkle-log"

OUR_RULE_FOR_THE_EMPTY_LOG = {
    # The library of the vectors calls every consistency check from size 0 an error.  Here, as in tlog-witness, the
    # empty log is continued by every log: its root is the empty root, its proof is empty.
    "additional/size1-is-zero-and-size2-is-not-zero.json",
}


def cases(kind: str) -> list[str]:
    """The cases by name; none is collected where the vectors are not at hand, and the test below says so."""
    folder = FOLDER / "proofs" / kind
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json"))


def load(kind: str, case: str) -> dict:
    return json.loads((vectors("merkle-log") / "proofs" / kind / case).read_text())


def proof_of(case: dict) -> list[bytes]:
    return [base64.b64decode(h) for h in case["proof"] or []]


def test_the_vectors_are_there():
    vectors("merkle-log")
    assert len(cases("inclusion")) >= 59
    assert len(cases("consistency")) >= 60


@pytest.mark.parametrize("name", cases("inclusion"))
def test_inclusion_proofs_are_judged_like_the_vectors_say(name):
    case = load("inclusion", name)

    def check() -> None:
        verify_inclusion(
            base64.b64decode(case["leafHash"]),
            index=case["leafIdx"],
            size=case["treeSize"],
            proof=proof_of(case),
            root=base64.b64decode(case["root"]),
        )

    if case["wantErr"]:
        with pytest.raises(VerificationError):
            check()
    else:
        check()


@pytest.mark.parametrize("name", cases("consistency"))
def test_consistency_proofs_are_judged_like_the_vectors_say(name):
    case = load("consistency", name)

    def check() -> None:
        verify_consistency(
            old_size=case["size1"],
            old_root=base64.b64decode(case["root1"]),
            new_size=case["size2"],
            new_root=base64.b64decode(case["root2"]),
            proof=proof_of(case),
        )

    if case["wantErr"] and name not in OUR_RULE_FOR_THE_EMPTY_LOG:
        with pytest.raises(VerificationError):
            check()
    else:
        check()


def test_the_empty_log_is_continued_by_every_log_and_by_nothing_else():
    # Exactly these differ from the vectors; each other vector with size1 = 0 is refused here as there.
    assert {n for n in OUR_RULE_FOR_THE_EMPTY_LOG if load("consistency", n)["wantErr"]} == OUR_RULE_FOR_THE_EMPTY_LOG


def tessera_entries(folder: Path, size: int) -> list[bytes]:
    if size == 0:
        return []
    return decode_bundle((folder / Tile(None, 0, size).path).read_bytes(), size)


@pytest.mark.parametrize("size", range(10))
def test_each_state_of_a_tessera_log_verifies_entry_by_entry(size):
    folder = vectors("merkle-log") / "tessera-log"
    key = parse_vkey((folder / "vkey").read_text().strip())
    note = (folder / f"checkpoint.{size}").read_bytes()
    checkpoint = open_checkpoint(note, origin="example.com/log/testdata", log_keys=LogKeys(key)).checkpoint
    leaves = [leaf_hash(entry) for entry in tessera_entries(folder, size)]
    assert checkpoint.size == size
    assert checkpoint.root == root_of(leaves)
    if size:
        assert (folder / Tile(0, 0, size).path).read_bytes() == b"".join(leaves)
        leaves[-1] = leaf_hash(b"another entry")
        assert checkpoint.root != root_of(leaves)


def test_a_tessera_checkpoint_with_one_digit_changed_is_refused():
    folder = vectors("merkle-log") / "tessera-log"
    key = parse_vkey((folder / "vkey").read_text().strip())
    note = (folder / "checkpoint.7").read_bytes().replace(b"\n7\n", b"\n8\n")
    with pytest.raises(VerificationError, match=r"note signature of example.com/log/testdata \(33d7b496\)"):
        open_checkpoint(note, origin="example.com/log/testdata", log_keys=LogKeys(key))


SUNLIGHT_ORIGIN = "rome2026h1.example.org"


def sunlight(cosigner: str) -> tuple[Path, bytes, str]:
    """Return the folder, the cosigned checkpoint and the vkey of the witness or the mirror."""
    folder = vectors("merkle-log") / "sunlight" / "witness"
    if cosigner == "mirror":
        folder /= "mirror"
    vkey = json.loads((folder / f"{cosigner}.v0.json").read_text())["verifier_keys"][0]
    log = folder / hashlib.sha256(SUNLIGHT_ORIGIN.encode()).hexdigest()
    return log, (log / "checkpoint").read_bytes(), vkey


@pytest.mark.parametrize(("cosigner", "time"), [("witness", 1767139200), ("mirror", 1767139200)])
def test_a_sunlight_checkpoint_carries_a_good_timestamped_cosignature(cosigner, time):
    _, note, vkey = sunlight(cosigner)
    key, parsed = parse_vkey(vkey), parse_note(note)
    assert str(key) == vkey
    assert parsed.verify([key]) == {key: time}
    assert parse_checkpoint(parsed.text).origin == SUNLIGHT_ORIGIN
    with pytest.raises(VerificationError, match=f"note signature of {cosigner}.example.org"):
        parse_note(note.replace(b"\n300\n", b"\n301\n")).verify([key])


def test_a_sunlight_mirror_of_300_entries_has_the_tiles_its_checkpoint_says():
    log, note, _ = sunlight("mirror")
    full, rest = (log / Tile(0, 0).path).read_bytes(), (log / Tile(0, 1, 44).path).read_bytes()
    checkpoint = parse_checkpoint(parse_note(note).text)
    assert checkpoint.size == 300
    assert perfect_root(full) == (log / Tile(1, 0, 1).path).read_bytes()
    assert checkpoint.root == node_hash(perfect_root(full), root_of(rest[at : at + 32] for at in range(0, 44 * 32, 32)))
