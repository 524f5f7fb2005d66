"""Raw files signed after quantum computers, as COSE and as SSHSIG: other people's programs judge each output."""

from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import cose_libraries, openssl, openssl35, ssh_keygen

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, Family
from sealwright.core.patches import Patch
from sealwright.formats import cose, raw, signed_data, targets
from sealwright.formats.raw_outputs import Output, suffix_of

IMAGE = bytes(range(256)) * 64
TIME = 1_790_000_000
P256 = Algorithm.ECDSA_P256_SHA256
NEW = [Algorithm.ED25519, *(a for a in Algorithm if a.family in (Family.ML_DSA, Family.SLH_DSA))]
"""What `openssl-3.5` takes and `openssl-3.0` does not."""
IN_COSE = [
    (P256, cose.Numbers.FULLY_SPECIFIED, -9, "ESP256"),
    (Algorithm.ECDSA_P384_SHA384, cose.Numbers.FULLY_SPECIFIED, -51, "ESP384"),
    (Algorithm.ECDSA_P521_SHA512, cose.Numbers.FULLY_SPECIFIED, -52, "ESP512"),
    (Algorithm.ED25519, cose.Numbers.FULLY_SPECIFIED, -19, "Ed25519"),
    (P256, cose.Numbers.POLYMORPHIC, -7, "ES256"),
    (Algorithm.ECDSA_P384_SHA384, cose.Numbers.POLYMORPHIC, -35, "ES384"),
    (Algorithm.ECDSA_P521_SHA512, cose.Numbers.POLYMORPHIC, -36, "ES512"),
    (Algorithm.ED25519, cose.Numbers.POLYMORPHIC, -8, "EdDSA"),
]
IN_SSH = [
    Algorithm.ED25519,
    P256,
    Algorithm.ECDSA_P384_SHA384,
    Algorithm.ECDSA_P521_SHA512,
    Algorithm.RSA_PKCS1_SHA256,
    Algorithm.RSA_PKCS1_SHA512,
]


def prepared(*who: Signer, image: bytes = IMAGE, **options: object) -> raw.Prepared:
    keys = [one.signing_key() for one in who]
    return raw.prepare(MemorySource(image), keys, {"signing_time": TIME, **options}, targets.ANY)


def signed(*who: Signer, **options: object) -> Patch:
    made = prepared(*who, **options)
    return made.assemble({slot.name: one.sign(slot) for slot, one in zip(made.slots, who, strict=True)})


def sidecars(patch: Patch) -> dict[str, bytes]:
    return {sidecar.suffix: sidecar.content for sidecar in patch.sidecars}


def written(folder: Path, signature: bytes, image: bytes = IMAGE) -> tuple[Path, Path]:
    (folder / "f.sig").write_bytes(signature)
    (folder / "f.bin").write_bytes(image)
    return folder / "f.sig", folder / "f.bin"


@pytest.mark.parametrize("algorithm", NEW)
def test_openssl_3_5_accepts_what_we_sign_and_refuses_a_flipped_byte(tmp_path: Path, algorithm: Algorithm) -> None:
    who = signer(algorithm)
    signature, anchor = sidecars(signed(who))[suffix_of(Output.CMS, algorithm)], who.anchor(tmp_path)
    good = openssl35.cms_verify(*written(tmp_path, signature), anchor)
    assert (good.returncode, good.stderr.strip()) == (0, "CMS Verification successful")
    bad = openssl35.cms_verify(*written(tmp_path, signature, flipped(IMAGE, 4711)), anchor)
    assert bad.returncode == 4
    assert "content verify error" in bad.stderr
    bad = openssl35.cms_verify(*written(tmp_path, flipped(signature, len(signature) - 1)), anchor)
    assert bad.returncode == 4
    assert "verification failure" in bad.stderr


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_44, Algorithm.SLH_DSA_SHA2_128F])
def test_a_stranger_after_quantum_computers_is_refused_by_openssl_and_us(tmp_path: Path, algorithm: Algorithm) -> None:
    maker, stranger = signer(algorithm), signer(algorithm, "stranger")
    made = sidecars(signed(stranger))
    bad = openssl35.cms_verify(*written(tmp_path, *made.values()), maker.anchor(tmp_path))
    assert bad.returncode == 4
    assert "certificate verify error" in bad.stderr
    with pytest.raises(VerificationError, match="key that is not trusted"):
        raw.verify(MemorySource(IMAGE), maker.trust, made)


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_65, Algorithm.SLH_DSA_SHAKE_128F])
def test_we_verify_what_openssl_3_5_signs(tmp_path: Path, algorithm: Algorithm) -> None:
    who, out = signer(algorithm), tmp_path / "out"
    openssl35.cms_sign(written(tmp_path, b"")[1], who.private_file(tmp_path), who.anchor(tmp_path), out)
    made = {suffix_of(Output.CMS, algorithm): out.read_bytes()}
    assert raw.verify(MemorySource(IMAGE), who.trust, made).keys == (who.public_key,)
    with pytest.raises(VerificationError, match="not the one that was signed"):
        raw.verify(MemorySource(IMAGE[1:]), who.trust, made)


def test_the_profile_of_openssl_3_5_names_what_was_tried_here_and_with_3_0() -> None:
    assert targets.OPENSSL_3_5.algorithms == {*NEW, *(targets.OPENSSL_3_0.algorithms or ())}


def test_openssl_3_0_cannot_judge_ml_dsa_which_the_target_profile_says(tmp_path: Path) -> None:
    who = signer(Algorithm.ML_DSA_44)
    files = written(tmp_path, *sidecars(signed(who)).values())
    assert openssl.cms_verify(*files, who.anchor(tmp_path)).returncode != 0
    with pytest.raises(FormatError, match="cannot verify ml-dsa-44") as e:
        raw.prepare(MemorySource(IMAGE), [who.signing_key()], {"signing_time": TIME}, targets.OPENSSL_3_0)
    assert e.value.code is Code.TARGET_CANNOT_VERIFY


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_44, Algorithm.SLH_DSA_SHA2_128F])
def test_identifiers_after_quantum_computers_have_no_parameters(algorithm: Algorithm) -> None:
    (content,) = sidecars(signed(signer(algorithm))).values()
    number = {Algorithm.ML_DSA_44: "11", Algorithm.SLH_DSA_SHA2_128F: "15"}[algorithm]
    assert bytes.fromhex(f"300b06096086480165030403{number}04") in content  # SignerInfo: then the signature
    assert bytes.fromhex("300b0609608648016503040203") in content  # SHA-512
    assert bytes.fromhex("0609608648016503040203 0500") not in content


def test_a_classical_and_a_post_quantum_key_make_two_files_and_both_must_verify(tmp_path: Path) -> None:
    classical, quantum = signer(P256), signer(Algorithm.ML_DSA_65)
    patch = signed(classical, quantum)
    made = sidecars(patch)
    assert list(made) == [".p7s", ".mldsa.p7s"]
    assert [slot.name for slot in prepared(classical, quantum).slots] == ["signature-1", "signature-2"]
    trust = raw.Trust(keys=(classical.public_key, quantum.public_key))
    assert raw.verify(MemorySource(IMAGE), trust, made).keys == (classical.public_key, quantum.public_key)
    old = openssl.cms_verify(*written(tmp_path, made[".p7s"]), classical.anchor(tmp_path))
    assert old.returncode == 0  # a verifier that knows no ML-DSA is not disturbed
    other = sidecars(signed(classical, quantum, image=b"another image"))
    with pytest.raises(VerificationError, match="not the one that was signed"):
        raw.verify(MemorySource(IMAGE), trust, {**made, ".mldsa.p7s": other[".mldsa.p7s"]})
    with pytest.raises(VerificationError, match=r"\.p7s file holds a signature ml-dsa-65"):
        raw.verify(MemorySource(IMAGE), trust, {".p7s": made[".mldsa.p7s"]})
    with pytest.raises(FormatError, match="one key of each kind"):
        prepared(signer(P256), signer(Algorithm.ED25519))


@pytest.mark.parametrize(("algorithm", "numbers", "number", "label"), IN_COSE)
def test_cwt_and_pycose_accept_a_cose_signature_and_refuse_a_flipped_byte(
    algorithm: Algorithm, numbers: cose.Numbers, number: int, label: str
) -> None:
    who = signer(algorithm)
    made = prepared(who, output="cose", cose_numbers=str(numbers))
    message = made.assemble(who.sign_all(made)).sidecars[0].content
    assert cbor2.loads(cbor2.loads(message).value[0])[1] == number
    payload, public = made.drafts[0].digest, who.key.public_key()  # type: ignore[attr-defined]
    assert cose_libraries.cwt_accepts(message, payload, public, label)
    assert not cose_libraries.cwt_accepts(message, flipped(payload, 0), public, label)
    if numbers is cose.Numbers.POLYMORPHIC:  # pycose knows no others
        assert cose_libraries.pycose_accepts(message, payload, public)
        assert not cose_libraries.pycose_accepts(message, flipped(payload, 0), public)
    assert raw.verify(MemorySource(IMAGE), who.trust, {".cose": message}).keys == (who.public_key,)


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_44, Algorithm.ML_DSA_65, Algorithm.ML_DSA_87])
def test_dilithium_py_accepts_a_cose_signature_and_refuses_a_flipped_byte(algorithm: Algorithm) -> None:
    who = signer(algorithm)
    made = prepared(who, output="cose")
    (content,) = sidecars(made.assemble(who.sign_all(made))).values()
    payload, public = made.drafts[0].digest, who.key.public_key().public_bytes_raw()  # type: ignore[attr-defined,union-attr]
    assert cose_libraries.dilithium_accepts(content, payload, public)
    assert not cose_libraries.dilithium_accepts(content, flipped(payload, 0), public)
    assert raw.verify(MemorySource(IMAGE), who.trust, {".mldsa.cose": content}).keys == (who.public_key,)


@pytest.mark.parametrize("algorithm", [P256, Algorithm.ML_DSA_44])
def test_we_verify_no_cose_signature_of_another_file_key_or_time(algorithm: Algorithm) -> None:
    who, suffix = signer(algorithm), suffix_of(Output.COSE, algorithm)
    content = sidecars(signed(who, output="cose"))[suffix]
    for image in (flipped(IMAGE, 4711), IMAGE[:-1], b""):
        with pytest.raises(VerificationError, match="signature does not verify"):
            raw.verify(MemorySource(image), who.trust, {suffix: content})
    with pytest.raises(VerificationError, match="key that is not trusted"):
        raw.verify(MemorySource(IMAGE), signer(algorithm, "stranger").trust, {suffix: content})
    later = content.replace(TIME.to_bytes(4), (TIME + 1).to_bytes(4))
    assert later != content
    with pytest.raises(VerificationError, match="signature does not verify"):
        raw.verify(MemorySource(IMAGE), who.trust, {suffix: later})


def test_a_cose_signature_cut_or_flipped_anywhere_is_refused() -> None:
    who = signer(P256)
    (content,) = sidecars(signed(who, output="cose")).values()
    broken = [content[:at] for at in range(len(content))] + [flipped(content, at) for at in range(len(content))]
    for one in [*broken, content + b"\0"]:
        with pytest.raises((FormatError, VerificationError)):
            raw.verify(MemorySource(IMAGE), who.trust, {".cose": one})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"\xd2\x84\x40\xa0\xf6\x40", "names no hash"),
        (b"\xd2\x84\x46\xa1\x19\x01\x02\x81\x01\xa0\xf6\x40", "names no hash"),  # a list, found by fuzzing
        (b"\xd2\x84\x40\xa0\x41\x00\x40", "not a detached"),
        (b"\xd2\x83\x40\xa0\xf6", "list of four"),
        (b"\xd1\x84\x40\xa0\xf6\x40", "not a tagged COSE_Sign1"),
        (b"\xd2\x84\xf6\xa0\xf6\x40", "other types"),
        (b"\xd2\x84\x43\xa1\x02\x80\xa0\xf6\x40", "critical"),
        (b"\xd2\x84\x43\xa1\x04\x40\xa1\x04\x40\xf6\x40", "twice"),
        (b"\xd2\x84\x58\x00\xa0\xf6\x40", "not in its shortest form"),
        (b"\x81" * 100_000, "nested deeper than 16"),
        (bytes(1 << 19), "at most"),
        # Tags whose contents a general library computes: a date, a number of 2^63 digits, a regular expression.
        (b"\xc0\x63abc", "not a tagged COSE_Sign1"),
        (b"\xd2\x84\x40\xa1\x05\xc5\x82\x1b" + b"\x7f" * 8 + b"\x03\xf6\x40", "names no hash"),
        (b"\xd2\x84\x40\xa1\x05\xd8\x23\x61(\xf6\x40", "names no hash"),
    ],
)
def test_hostile_cose_is_a_format_error(value: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        raw.verify(MemorySource(IMAGE), signer(P256).trust, {".cose": value})


def test_cose_has_no_number_for_slh_dsa_and_rsa() -> None:
    for algorithm in (Algorithm.SLH_DSA_SHA2_128F, Algorithm.RSA_PSS_SHA256):
        with pytest.raises(FormatError, match=f"no registered number for {algorithm}"):
            prepared(signer(algorithm), output="cose")


@pytest.mark.parametrize("algorithm", IN_SSH)
def test_ssh_keygen_accepts_what_we_sign_and_refuses_a_flipped_byte(tmp_path: Path, algorithm: Algorithm) -> None:
    who, namespace = signer(algorithm), "firmware@acme"
    (content,) = sidecars(signed(who, output="sshsig", namespace=namespace)).values()
    encoding, shape = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    line = who.key.public_key().public_bytes(encoding, shape).decode()  # type: ignore[union-attr]
    good = ssh_keygen.verify(*written(tmp_path, content), line, namespace, tmp_path)
    assert good.returncode == 0, good.stderr
    assert b'Good "firmware@acme" signature' in good.stdout
    bad = ssh_keygen.verify(*written(tmp_path, content, flipped(IMAGE, 4711)), line, namespace, tmp_path)
    assert (bad.returncode, b"incorrect signature" in bad.stdout + bad.stderr) == (255, True)
    bad = ssh_keygen.verify(*written(tmp_path, content), line, "other", tmp_path)
    assert (bad.returncode, b"namespace" in bad.stdout + bad.stderr) == (255, True)
    assert raw.verify(MemorySource(IMAGE), who.trust, {".sig": content}).signatures[0].algorithm == algorithm
    with pytest.raises(VerificationError, match="signature does not verify"):
        raw.verify(MemorySource(IMAGE[1:]), who.trust, {".sig": content})
    with pytest.raises(VerificationError, match="key that is not trusted"):
        raw.verify(MemorySource(IMAGE), signer(algorithm, "stranger").trust, {".sig": content})


def test_an_ssh_signature_cut_anywhere_or_flipped_is_refused() -> None:
    who = signer(Algorithm.ED25519)
    (content,) = sidecars(signed(who, output="sshsig")).values()
    for at in range(len(content) - 1):
        for one in (content[:at], flipped(content, at)):
            with pytest.raises(SealwrightError):
                raw.verify(MemorySource(IMAGE), who.trust, {".sig": one})


def test_ssh_signs_with_what_openssh_knows_only() -> None:
    for algorithm in (Algorithm.RSA_PSS_SHA256, Algorithm.RSA_PKCS1_SHA384, Algorithm.ML_DSA_44):
        with pytest.raises(FormatError, match=f"OpenSSH has no signature {algorithm}"):
            prepared(signer(algorithm), output="sshsig")


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        ({"output": "cms"}, {"signing_time": TIME}),
        ({"output": "cose", "cose_numbers": "fully-specified"}, {"signing_time": TIME, "output": "cose"}),
        ({"output": "sshsig", "namespace": "file"}, {"output": "sshsig"}),
        ({"output": "sshsig", "namespace": "a@b"}, {"output": "sshsig", "namespace": "a@b"}),
    ],
)
def test_one_choice_has_one_spelling_in_the_frozen_options(
    options: dict[str, object], frozen: dict[str, object]
) -> None:
    made = prepared(signer(P256), **options)
    assert made.options == frozen
    again = raw.prepare(MemorySource(IMAGE), [signer(P256).signing_key()], made.options, targets.ANY)
    assert (again.slots, again.options) == (made.slots, made.options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": "file"}, "options of another output than cms"),
        ({"output": "sshsig", "cose_numbers": "polymorphic"}, "options of another output than sshsig"),
        ({"output": "gpg"}, "output"),
        ({"output": "minisign", "namespace": "file"}, "options of another output than minisign"),
        ({"output": "cose", "trusted_comment": "version 1"}, "options of another output than cose"),
        ({"output": "sshsig", "namespace": "a b"}, "namespace"),
    ],
)
def test_options_of_another_output_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        prepared(signer(P256), **options)


def test_the_reader_names_the_post_quantum_algorithm() -> None:
    content = sidecars(signed(signer(Algorithm.ML_DSA_87)))[".mldsa.p7s"]
    assert signed_data.parse(content).description == "ml-dsa-87"
