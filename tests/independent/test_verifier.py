"""The independent verifier beside Sealwright's own: both accept the evidence of the values, and refuse every change."""

import ast
import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.independent import verifier
from tests.independent.both import VALUES, accepted_by, independent, reference, value
from tests.independent.mutations import mutations, spelled
from tests.spec.installation import IMAGES

from sealwright.core import records
from sealwright.core.errors import VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.sshsig import mpint, string
from sealwright.evidence.bundle import Evidence, TrustFile
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS

PROGRAM = Path(verifier.__file__)
TRUST_FILES = ("trust.json", "trust-old.json")
NIST_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
OWN = r"\.(artifact|signatures|messages|patch)\b"
"""Members that differ between the evidences of two artifacts of one request."""


def evidence_of(name: str) -> Any:
    return json.loads(value(f"{name}.sealwright"))


def run(folder: Path, image: bytes, evidence: bytes, trust: bytes, program: str = "") -> tuple[int, str]:
    """Run the program on files as a stranger would."""
    arguments = []
    for name, content in (("boot.bin", image), ("boot.bin.sealwright", evidence), ("trust.json", trust)):
        (folder / name).write_bytes(content)
        arguments.append(str(folder / name))
    command = [sys.executable, "-c", program] if program else [sys.executable, str(PROGRAM)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


# The program


def test_it_has_at_most_400_lines_and_imports_nothing_of_sealwright():
    text = PROGRAM.read_text()
    assert text.count("\n") <= 400
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "cryptography"}
    assert imported.isdisjoint({"socket", "ssl", "urllib", "http", "asyncio", "subprocess", "importlib"})


@pytest.mark.parametrize("count", [0, 2, 4])
def test_it_says_how_it_is_used(count):
    done = subprocess.run([sys.executable, PROGRAM, *"1234"[:count]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "usage: IMAGE EVIDENCE TRUST\n")


@pytest.mark.parametrize("trust", TRUST_FILES)
@pytest.mark.parametrize("name", IMAGES)
def test_it_says_verified_with_every_socket_blocked(name, trust):
    program = (
        "import runpy, sys\n"
        "def audit(event, _):\n"
        "    if event.startswith('socket.'): raise SystemExit('a socket is opened')\n"
        "sys.addaudithook(audit)\n"
        f"sys.argv[0] = {str(PROGRAM)!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    files = [str(VALUES / file) for file in (name, f"{name}.sealwright", trust)]
    done = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"verified {name} of router 1.2.3; votes: ben (recomputed), cleo (displayed)")


@pytest.mark.parametrize(
    "broken", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"type":"evidence"}', b"1" * 5000]
)
def test_broken_files_are_refused_in_one_line_without_a_traceback(tmp_path, broken):
    good = value("boot.bin"), value("boot.bin.sealwright"), value("trust.json")
    for position in (1, 2):
        given = [*good[:position], broken, *good[position + 1 :]]
        code, said = run(tmp_path, *given)
        assert code == 1
        assert said.startswith("refused: ")
        assert said.count("\n") == 1
    done = subprocess.run([sys.executable, str(PROGRAM), "one"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "usage: IMAGE EVIDENCE TRUST\n")


def test_a_sidecar_beside_the_image_must_be_that_of_the_patch(tmp_path):
    given = value("boot.bin"), value("boot.bin.sealwright"), value("trust.json")
    (tmp_path / "boot.bin.p7s").write_bytes(value("boot.bin.p7s"))
    assert run(tmp_path, *given)[0] == 0
    (tmp_path / "boot.bin.p7s").write_bytes(value("app.bin.p7s"))
    assert run(tmp_path, *given)[0] == 1


def test_it_reads_ssh_signatures_and_canonical_json_as_the_values_say():
    for case in json.loads(value("sshsig.json")):
        key = {"key": case["key"], "user_verification": case["user_verification"]}
        signature, message = base64.b64decode(case["signature"]), bytes.fromhex(case["message_hex"])
        assert verifier.passes(verifier.sshsig, key, case["namespace"], message, signature) == case["valid"]
    canonical = json.loads(value("canonical.json"))
    texts = [(text.encode(), True) for text in canonical["valid"]]
    texts += [(base64.b64decode(case["input_base64"]), False) for case in canonical["invalid"]]
    for text, valid in texts:
        refusal = ""
        try:
            verifier.document(text, "policy")
        except Exception as error:  # noqa: BLE001  (as the program does)
            refusal = str(error)
        assert valid == (refusal.startswith("malformed") and "canonical" not in refusal)


# Every leaf


@pytest.mark.parametrize(
    ("name", "trust", "parts", "harmless"),
    [
        ("boot.bin", "trust.json", "", {".patch.edits removed", ".roots[0] removed"}),
        ("app.bin", "trust-old.json", OWN, {".patch.edits removed"}),
    ],
)
def test_every_change_of_the_evidence_is_refused_by_both(name, trust, parts, harmless):
    """But for these, which say the same: an empty member left out, a root known anyway."""
    evidence, image, known = evidence_of(name), value(name), value(trust)
    accepted: dict[str, set[str]] = {}
    for place, changed in mutations(evidence):
        if re.match(parts, place) and (by := accepted_by(image, spelled(changed), known)):
            accepted[place] = by
    assert accepted == {place: {"independent", "reference"} for place in harmless}


def test_the_other_signature_of_an_ecdsa_voter_is_one_more_spelling_of_the_same_vote():
    """ECDSA: (r, n - s) verifies as (r, s) does; nothing rests on the bytes of a vote's signature."""
    evidence = evidence_of("boot.bin")
    envelope = next(v["signatures"][0] for v in evidence["votes"] if v["signatures"][0]["signer"] == "cleo")
    data = base64.b64decode(envelope["signature"])
    outer, _ = verifier.strings(data[10:], 5)
    (algorithm, inner), _ = verifier.strings(outer[4], 2)
    (r, s), _ = verifier.strings(inner, 2)
    twin = string(algorithm) + string(string(r) + mpint(NIST_P256 - int.from_bytes(s)))
    envelope["signature"] = base64.b64encode(data[:10] + b"".join(map(string, [*outer[:4], twin]))).decode()
    assert spelled(evidence) != value("boot.bin.sealwright")
    both = {"independent", "reference"}
    assert accepted_by(value("boot.bin"), spelled(evidence), value("trust.json")) == both


# The image


@pytest.mark.parametrize("name", IMAGES)
def test_the_image_flipped_at_any_byte_is_refused_by_both(name):
    image, evidence, trust = value(name), value(f"{name}.sealwright"), value("trust.json")
    mine = verifier.Verification(evidence, trust)
    assert mine.check(image)
    theirs = records.parse(Evidence, evidence, max_bytes=1 << 26), records.parse(TrustFile, trust)
    for at in range(len(image)):
        flipped = image[:at] + bytes([image[at] ^ 1 << at % 8]) + image[at + 1 :]
        with pytest.raises(ValueError, match=r"^evidence 34: "):
            mine.image(flipped)
        with pytest.raises(VerificationError, match="this is not the approved image"):
            verify_evidence(theirs[0], MemorySource(flipped), theirs[1], FORMATS)


@pytest.mark.parametrize("image", [b"", value("app.bin"), value("boot.bin") + b"\0", value("boot.bin")[:-1]])
def test_another_image_is_refused_by_both(image):
    given = image, value("boot.bin.sealwright"), value("trust.json")
    assert independent(*given).startswith(("evidence 33", "evidence 34"))
    assert reference(*given) == "image-mismatch"


# The trust file


def log_key_of(origin: str) -> str:
    data = b"\1" + bytes(range(32))
    number = verifier.sha256(origin.encode(), b"\n", data)[:4].hex()
    return f"{origin}+{number}+{base64.b64encode(data).decode()}"


TRUST = json.loads(value("trust.json"))
BOOT_KEY = json.loads(value("outcome.json"))["document"]["slots"][0]["key"]
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "another instance": ({"instance": "1" * 64, "roots": ["1" * 64]}, "evidence 1", "evidence-mismatch"),
    "another log": ({"log": "log.example/x"}, "evidence 2", "wrong-log"),
    "the key of another log": ({"log_key": log_key_of("log.example/x")}, "evidence 2", "not-trusted"),
    "another log key": ({"log_key": log_key_of(TRUST["log"])}, "evidence 2", "not-trusted"),
    "more witnesses": ({"witness_quorum": 2}, "evidence 2", "not-trusted"),
    "no witnesses": ({"witnesses": []}, "evidence 2", "not-trusted"),
    "another second root": ({"roots": [TRUST["instance"], "1" * 64]}, "evidence 4", "evidence-mismatch"),
    "a newer root long before": ({"roots": [*TRUST["roots"], "1" * 64]}, "evidence 9", "root-invalid"),
    "a newer policy": ({"as_of": TRUST["as_of"] | {"policy_index": 5, "size": 6}}, "evidence 12", "policy-not-current"),
    "the key distrusted": ({"distrusted": [BOOT_KEY]}, "evidence 29", "not-trusted"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_trust_file_is_refused_by_both(name):
    changes, refused, code = WRONG[name]
    given = value("boot.bin"), value("boot.bin.sealwright"), spelled(TRUST | changes)
    assert (independent(*given).partition(":")[0], reference(*given)) == (refused, code)


@pytest.mark.parametrize("missing", ["Ed25519", "ML-DSA-44"])
def test_half_a_checkpoint_signature_is_refused_by_both_where_both_keys_are_known(missing):
    evidence = evidence_of("boot.bin")
    text, _, lines = base64.b64decode(evidence["checkpoint"]).decode().rpartition("\n\n")
    ed25519, ml_dsa, witness = lines.splitlines(keepends=True)
    assert len(ml_dsa) > 10 * len(ed25519)
    kept = ml_dsa if missing == "Ed25519" else ed25519
    evidence["checkpoint"] = base64.b64encode(f"{text}\n\n{kept}{witness}".encode()).decode()
    given = value("boot.bin"), spelled(evidence)
    assert independent(*given, value("trust.json")).startswith("evidence 2:")
    assert reference(*given, value("trust.json")) == "not-trusted"
    from_before = spelled({name: member for name, member in TRUST.items() if name != "log_ml_dsa"})
    both = {"independent", "reference"}
    assert accepted_by(*given, from_before) == (both if missing == "ML-DSA-44" else set())
    later = spelled(TRUST | {"log_ml_dsa": TRUST["log_ml_dsa"] | {"first_size": 13}})
    assert accepted_by(*given, later) == (both if missing == "ML-DSA-44" else set())


def test_every_change_of_the_form_of_the_trust_file_is_judged_alike():
    """A trust file may say other things; both verifiers must draw the same conclusions from it."""
    image, evidence = value("boot.bin"), value("boot.bin.sealwright")
    for place, changed in mutations(TRUST):
        by = accepted_by(image, evidence, spelled(changed))
        assert by in (set(), {"independent", "reference"}), place


@pytest.mark.parametrize("algorithm", ["slh-dsa-sha2-128s", "hss-lms-sha256"])
def test_an_algorithm_that_it_does_not_know_is_refused_by_name(algorithm, monkeypatch):
    image, evidence, trust = (value(name) for name in ("app.bin", "app.bin.sealwright", "trust.json"))
    verification = verifier.Verification(evidence, trust)
    parsed = verifier.document
    monkeypatch.setattr(verifier, "document", lambda *a: _renamed(parsed(*a), algorithm))
    with pytest.raises(ValueError, match=f"^algorithm not supported by this verifier: {algorithm}$"):
        verification.check(image)


def _renamed(document: Any, algorithm: str) -> Any:
    return document | {"algorithm": algorithm} if document.get("type") == "key-profile" else document
