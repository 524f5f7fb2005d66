"""Raw files: OpenSSL and GnuTLS judge the detached signature; the file itself stays as it is."""

import hashlib
from pathlib import Path

import pytest
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import certtool, openssl

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import FORMATS, cms, detect, raw, targets
from sealwright.formats.cms_shapes import DATA
from sealwright.formats.raw_outputs import Output, suffix_of

IMAGE = bytes(range(256)) * 64
OPTIONS = {"signing_time": 1_790_000_000}
P256 = Algorithm.ECDSA_P256_SHA256
WITH_OPENSSL = sorted(targets.OPENSSL_3_0.algorithms or ())
WITH_GNUTLS = sorted(targets.GNUTLS_3_7.algorithms or ())


def sign(who: Signer, image: bytes = IMAGE) -> bytes:
    prepared = raw.prepare(MemorySource(image), [who.signing_key()], OPTIONS, targets.ANY)
    return prepared.assemble(who.sign_all(prepared)).sidecars[0].content


def written(folder: Path, signature: bytes, image: bytes = IMAGE) -> tuple[Path, Path]:
    (folder / "f.bin.p7s").write_bytes(signature)
    (folder / "f.bin").write_bytes(image)
    return folder / "f.bin.p7s", folder / "f.bin"


@pytest.mark.parametrize("algorithm", WITH_OPENSSL)
def test_openssl_accepts_what_we_sign_and_refuses_a_flipped_byte(tmp_path: Path, algorithm: Algorithm) -> None:
    who = signer(algorithm)
    signature, anchor = sign(who), who.anchor(tmp_path)
    good = openssl.cms_verify(*written(tmp_path, signature), anchor)
    assert (good.returncode, good.stderr.strip()) == (0, "CMS Verification successful")
    for at in (0, 4711, len(IMAGE) - 1):
        bad = openssl.cms_verify(*written(tmp_path, signature, flipped(IMAGE, at)), anchor)
        assert bad.returncode == 4
        assert "content verify error" in bad.stderr


@pytest.mark.parametrize("algorithm", WITH_GNUTLS)
def test_gnutls_accepts_what_we_sign_and_refuses_a_flipped_byte(tmp_path: Path, algorithm: Algorithm) -> None:
    who = signer(algorithm)
    signature, anchor = sign(who), who.anchor(tmp_path)
    good = certtool.verify(*written(tmp_path, signature), anchor)
    assert good.returncode == 0
    assert "Signature status: ok" in good.stderr
    bad = certtool.verify(*written(tmp_path, signature, flipped(IMAGE, 4711)), anchor)
    assert bad.returncode == 1
    assert "Public key signature verification has failed" in bad.stderr


def test_openssl_cannot_judge_ed25519_which_the_target_profile_says(tmp_path: Path) -> None:
    who = signer(Algorithm.ED25519)
    found = openssl.cms_verify(*written(tmp_path, sign(who)), who.anchor(tmp_path))
    assert found.returncode == 4
    assert "invalid digest" in found.stderr
    with pytest.raises(FormatError, match="cannot verify ed25519") as e:
        raw.prepare(MemorySource(IMAGE), [who.signing_key()], OPTIONS, targets.OPENSSL_3_0)
    assert e.value.code is Code.TARGET_CANNOT_VERIFY


def test_a_stranger_is_refused_by_openssl_gnutls_and_us(tmp_path: Path) -> None:
    maker, stranger = signer(P256), signer(P256, "stranger")
    signature, anchor = sign(stranger), maker.anchor(tmp_path)
    bad = openssl.cms_verify(*written(tmp_path, signature), anchor)
    assert bad.returncode == 4
    assert "certificate verify error" in bad.stderr
    bad = certtool.verify(*written(tmp_path, signature), anchor)
    assert bad.returncode == 1
    assert "verification failed" in bad.stderr
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger") as e:
        raw.verify(MemorySource(IMAGE), maker.trust, {".p7s": signature})
    assert e.value.code is Code.NOT_TRUSTED


def test_a_changed_file_with_its_digest_put_into_the_signature_is_refused(tmp_path: Path) -> None:
    who, changed = signer(P256), flipped(IMAGE, 4711)
    digest, other = (hashlib.sha256(image).digest() for image in (IMAGE, changed))
    signature = sign(who)
    assert signature.count(digest) == 1
    forged = signature.replace(digest, other)
    bad = openssl.cms_verify(*written(tmp_path, forged, changed), who.anchor(tmp_path))
    assert bad.returncode == 4
    assert "verification failure" in bad.stderr
    with pytest.raises(VerificationError, match="signature does not verify"):
        raw.verify(MemorySource(changed), who.trust, {".p7s": forged})


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    who = signer(P256)
    bad = openssl.cms_verify(*written(tmp_path, b""), who.anchor(tmp_path))
    assert bad.returncode != 0
    assert "Error reading" in bad.stderr
    with pytest.raises(VerificationError, match=r"no \.p7s file"):
        raw.verify(MemorySource(IMAGE), who.trust, {})
    with pytest.raises(FormatError, match="empty"):
        raw.verify(MemorySource(IMAGE), who.trust, {".p7s": b""})


def test_openssl_without_a_path_check_is_known_to_take_anybody(tmp_path: Path) -> None:
    stranger = signer(P256, "stranger")
    files = written(tmp_path, sign(stranger))
    assert openssl.cms_verify_without_path(*files).returncode == 0  # known fail-open, no success of ours
    without_anchor = openssl.cms_verify(*files, None)
    assert without_anchor.returncode == 4
    assert "certificate verify error" in without_anchor.stderr


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if not a.is_stateful])
def test_we_verify_what_we_sign_and_no_changed_or_cut_file(algorithm: Algorithm) -> None:
    who = signer(algorithm)
    sidecars = {suffix_of(Output.CMS, algorithm): sign(who)}
    verified = raw.verify(MemorySource(IMAGE), who.trust, sidecars)
    assert verified.keys == (who.public_key,)
    assert verified.signatures[0].algorithm == algorithm
    for image in (flipped(IMAGE, 0), IMAGE[:-1], IMAGE + b"\0", b""):
        with pytest.raises(VerificationError, match="not the one that was signed") as e:
            raw.verify(MemorySource(image), who.trust, sidecars)
        assert e.value.code is Code.IMAGE_MISMATCH


def test_a_signature_cut_anywhere_or_with_bytes_behind_is_refused() -> None:
    who = signer(P256)
    signature = sign(who)
    for broken in [signature[:at] for at in range(len(signature))] + [signature + b"\0"]:
        with pytest.raises((FormatError, VerificationError)):
            raw.verify(MemorySource(IMAGE), who.trust, {".p7s": broken})


def test_a_flip_anywhere_in_the_signature_is_refused_or_leaves_the_proof_as_it_was() -> None:
    who = signer(P256)
    signature, accepted = sign(who), 0
    for at in range(len(signature)):
        try:
            verified = raw.verify(MemorySource(IMAGE), who.trust, {".p7s": flipped(signature, at)})
        except SealwrightError:
            continue
        accepted += 1
        assert verified.keys == (who.public_key,)
    # Only the certificate's own fields (names of no role, times, extensions, its signature) are nobody's business.
    assert accepted < len(who.certificate_der)


def test_we_verify_what_openssl_signs(tmp_path: Path) -> None:
    who = signer(Algorithm.RSA_PKCS1_SHA256)
    (tmp_path / "f.bin").write_bytes(IMAGE)
    out = tmp_path / "f.p7s"
    openssl.cms_sign(tmp_path / "f.bin", who.private_file(tmp_path), who.anchor(tmp_path), out)
    assert raw.verify(MemorySource(IMAGE), who.trust, {".p7s": out.read_bytes()}).keys == (who.public_key,)
    with pytest.raises(VerificationError, match="not the one that was signed"):
        raw.verify(MemorySource(IMAGE[1:]), who.trust, {".p7s": out.read_bytes()})


@pytest.mark.parametrize("algorithm", [Algorithm.RSA_PKCS1_SHA256, Algorithm.ED25519])
def test_frozen_options_give_the_same_slots_and_signing_twice_the_same_patch(algorithm: Algorithm) -> None:
    who = signer(algorithm)
    first = raw.prepare(MemorySource(IMAGE), [who.signing_key()], OPTIONS, targets.ANY)
    again = raw.prepare(MemorySource(IMAGE), [who.signing_key()], first.options, targets.ANY)
    assert first.slots == again.slots
    assert first.slots[0].message.digest(MemorySource(IMAGE), "sha256") == first.slots[0].digest
    patch = first.assemble(who.sign_all(first))
    assert patch == again.assemble(who.sign_all(again))
    assert patch.edits == ()
    assert b"".join(patch.apply(MemorySource(IMAGE))) == IMAGE
    assert records.parse(Patch, records.serialise(patch)) == patch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "missing members.*signing_time"),
        ({"signing_time": "now"}, "signing_time: expected int"),
        ({"signing_time": -1}, "outside"),
        ({"signing_time": 1 << 39}, "outside"),
        ({"signing_time": 1, "surprise": 1}, "unknown members"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    who = signer(P256)
    with pytest.raises(FormatError, match=message):
        raw.prepare(MemorySource(IMAGE), [who.signing_key()], options, targets.ANY)


def test_content_inside_the_signature_is_refused() -> None:
    who = signer(P256)
    attached = cms.Draft(
        key=who.signing_key(),
        content_type=DATA,
        message_digest=hashlib.sha256(IMAGE).digest(),
        content=b"\x04\x01x",
        signing_time=OPTIONS["signing_time"],
    )
    with pytest.raises(FormatError, match="not a detached signature over data"):
        raw.verify(
            MemorySource(IMAGE), who.trust, {".p7s": attached.assemble({"signature": who.sign(attached.slot())})}
        )


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(FormatError, match="image is empty"):
        raw.prepare(MemorySource(b""), [signer(P256).signing_key()], OPTIONS, targets.ANY)


def test_raw_claims_nothing_stands_last_and_is_what_is_left() -> None:
    assert not raw.matches(MemorySource(IMAGE))
    assert list(FORMATS)[-1] == raw.name
    assert detect(MemorySource(IMAGE)) is raw
    assert raw.inspect(MemorySource(IMAGE)).covered == (Range(0, len(IMAGE)),)
    assert raw.inspect(MemorySource(IMAGE)).uncovered == ()
