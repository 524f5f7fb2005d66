"""A signature for something else is none of a raw file: described content, and namespaces of other documents."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.formats import memory_files
from tests.formats.throwaway import Signer, signer
from tests.verifiers import ssh_keygen

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import ihex, raw, raw_ssh, targets
from sealwright.formats.interface import TargetProfile

HEX = (memory_files.hex_record(0, 0, b"firmware") + "\n" + memory_files.hex_record(1, 0) + "\n").encode()
DATA = b"document that somebody voted on"
MAKER, PERSON = signer(Algorithm.RSA_PKCS1_SHA256), signer(Algorithm.ED25519)


def test_a_signature_over_the_contents_of_a_hex_file_is_none_of_a_raw_file_that_holds_them() -> None:
    prepared = ihex.prepare(MemorySource(HEX), [MAKER.signing_key()], {"signing_time": 1_790_000_000}, targets.ANY)
    (sidecar,) = prepared.assemble(MAKER.sign_all(prepared)).sidecars
    assert ihex.verify(MemorySource(HEX), MAKER.trust, {".p7s": sidecar.content}).keys == (MAKER.public_key,)
    stream = MemorySource(b"".join(ihex.content(MemorySource(HEX), {})))
    with pytest.raises(VerificationError, match="for another content than the bytes of a file") as e:
        raw.verify(stream, MAKER.trust, {".p7s": sidecar.content})
    assert e.value.code is Code.IMAGE_MISMATCH
    assert "expected no description" in str(e.value)


ED25519, ML_DSA = Algorithm.ED25519, Algorithm.ML_DSA_65


@pytest.mark.parametrize(
    ("target", "algorithm", "outputs"),
    [
        (targets.OPENSSL_3_0, Algorithm.ECDSA_P256_SHA256, "cms"),
        (targets.GNUTLS_3_7, ED25519, "cms"),
        (targets.OPENSSL_3_5, ML_DSA, "cms"),
        (targets.ANY, ED25519, "cms, cose, sshsig, minisign"),
    ],
)
def test_an_output_that_the_target_does_not_read_is_refused_before_anybody_approves(
    target: TargetProfile, algorithm: Algorithm, outputs: str
) -> None:
    key = signer(algorithm).signing_key()
    for output in ("cms", "cose", "sshsig", "minisign"):
        options = {"output": output} | ({} if output == "sshsig" else {"signing_time": 1_790_000_000})
        if output in outputs.split(", "):
            assert raw.prepare(MemorySource(DATA), [key], options, target).slots
            continue
        with pytest.raises(FormatError, match=f"target {target.name} cannot read output {output}") as e:
            raw.prepare(MemorySource(DATA), [key], options, target)
        assert (e.value.code, e.value.hint) == (Code.TARGET_CANNOT_VERIFY, f"it accepts: {outputs}")


def ssh_signature(namespace: str, who: Signer = PERSON) -> bytes:
    draft = raw_ssh.SshDraft(key=who.signing_key(), digest=hashlib.sha512(DATA).digest(), namespace=namespace)
    return draft.content([who.sign(slot) for slot in draft.slots()])


def shown(namespace: str) -> str:
    sidecars = {".sig": ssh_signature(namespace)}
    return raw.verify(MemorySource(DATA), PERSON.trust, sidecars).signatures[0].signer


@pytest.mark.parametrize("namespace", ["sealwright-vote@x", "sealwright-", "sealwright-request@acme.example"])
def test_an_ssh_signature_in_a_namespace_of_votes_is_no_signature_of_a_file(namespace: str, tmp_path: Path) -> None:
    """ssh-keygen takes it: whoever asks it names the namespace."""
    encoding, shape = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    line = PERSON.certificate.public_key().public_bytes(encoding, shape).decode()
    (tmp_path / "f").write_bytes(DATA)
    (tmp_path / "f.sig").write_bytes(ssh_signature(namespace))
    assert ssh_keygen.verify(tmp_path / "f.sig", tmp_path / "f", line, namespace, tmp_path).returncode == 0
    with pytest.raises(VerificationError, match=f"in namespace {namespace}, which is of votes and policies"):
        shown(namespace)


def test_the_namespace_of_an_ssh_signature_is_shown() -> None:
    fingerprint = PERSON.public_key.fingerprint[:16]
    assert shown("file") == f"{fingerprint} in namespace file"
    assert shown("Sealwright-vote@x") == f"{fingerprint} in namespace Sealwright-vote@x"
    assert shown("git\n\x1b[2J\u202e") == f"{fingerprint} in namespace " + r"git\n\x1b[2J\xe2\x80\xae"
    assert shown("n" * 5_000) == f"{fingerprint} in namespace {'n' * 96}"
