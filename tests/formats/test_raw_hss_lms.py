"""Raw files signed with HSS/LMS, as CMS and as COSE: two libraries judge what the standards say is signed."""

import hashlib
import secrets
from datetime import UTC, datetime
from itertools import count

import pytest
from tests.formats.throwaway import signer
from tests.verifiers import lms_libraries

from sealwright.core.errors import FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, HssLmsPublicKey
from sealwright.formats import raw, targets
from sealwright.formats.interface import SigningKey, Trust
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.hss_lms_keys import HssLmsPrivateKey
from sealwright.keystores.interface import CertificateTemplate

IMAGE = bytes(range(256)) * 16
TIME = 1_790_000_000
TEMPLATE = CertificateTemplate(
    common_name="TEST ONLY maker",
    not_before=datetime(2024, 1, 1, tzinfo=UTC),
    not_after=datetime(2049, 1, 1, tzinfo=UTC),
)
MESSAGES = {"cms": lms_libraries.cms_message, "cose": lms_libraries.cose_message}
SUFFIXES = {"cms": ".hsslms.p7s", "cose": ".hsslms.cose"}


class LmsSigner:
    """A key in memory that counts its numbers."""

    def __init__(self, parameters: str = "sha256-n32-h5-w8") -> None:
        private = HssLmsPrivateKey.generate(parameters)
        self.tree, self.size, self.numbers = private.hypertree(), private.seed.one_time.size, count()
        self.public_key = private_keys.public_half(private)
        assert isinstance(self.public_key.key, HssLmsPublicKey)
        self.raw = self.public_key.key.raw
        certificate = self_signed(self.public_key, Algorithm.HSS_LMS, self.sign, TEMPLATE)
        self.signing_key = SigningKey(
            profile="lms", public_key=self.public_key, algorithm=Algorithm.HSS_LMS, certificates=(certificate,)
        )
        self.trust = Trust(keys=(self.public_key,))

    def sign(self, message: bytes) -> bytes:
        return self.tree.sign(next(self.numbers), secrets.token_bytes(self.size), message)

    def signed(self, output: str, image: bytes = IMAGE) -> bytes:
        options = {"signing_time": TIME, "output": output}
        prepared = raw.prepare(MemorySource(image), [self.signing_key], options, targets.PYHSSLMS_2_0)
        made = {slot.name: self.sign(slot.whole_message or b"") for slot in prepared.slots}
        (sidecar,) = prepared.assemble(made).sidecars
        assert sidecar.suffix == SUFFIXES[output]
        return sidecar.content


@pytest.fixture(scope="module")
def maker() -> LmsSigner:
    return LmsSigner()


def accepted(maker: LmsSigner, output: str, content: bytes, image: bytes = IMAGE) -> set[bool]:
    """What both libraries say of a file beside an image."""
    message, signature = MESSAGES[output](content, hashlib.sha256(image).digest())
    judges = (lms_libraries.pyhsslms_accepts, lms_libraries.hsslms_accepts)
    return {judge(maker.raw, message, signature) for judge in judges}


@pytest.mark.parametrize("output", MESSAGES)
def test_two_libraries_accept_what_we_sign_and_refuse_a_flipped_byte(maker: LmsSigner, output: str) -> None:
    content = maker.signed(output)
    assert accepted(maker, output, content) == {True}
    assert accepted(maker, output, content, IMAGE[:-1] + b"!") == {False}
    assert accepted(maker, output, content[:-1] + bytes([content[-1] ^ 1])) == {False}


def test_pyhsslms_accepts_the_short_hash_of_sp_800_208() -> None:
    maker = LmsSigner("sha256-n24-h5-w4")
    message, signature = lms_libraries.cms_message(maker.signed("cms"), hashlib.sha256(IMAGE).digest())
    assert lms_libraries.pyhsslms_accepts(maker.raw, message, signature)
    assert not lms_libraries.pyhsslms_accepts(maker.raw, message + b"x", signature)


@pytest.mark.parametrize("output", MESSAGES)
def test_we_verify_it_and_refuse_a_stranger_a_flip_and_another_image(maker: LmsSigner, output: str) -> None:
    content, suffix = maker.signed(output), SUFFIXES[output]
    assert raw.verify(MemorySource(IMAGE), maker.trust, {suffix: content}).keys == (maker.public_key,)
    with pytest.raises(VerificationError, match="not trusted"):
        raw.verify(MemorySource(IMAGE), LmsSigner("sha256-n24-h5-w4").trust, {suffix: content})
    with pytest.raises(VerificationError):
        raw.verify(MemorySource(IMAGE[1:]), maker.trust, {suffix: content})
    cuts = [content[:at] for at in range(0, len(content), 97)]
    # The signature ends the file; in front of it a CMS has a certificate, whose own signature nobody judges.
    flips = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(-1000, 0, 97)]
    for bad in cuts + flips:
        with pytest.raises(SealwrightError):
            raw.verify(MemorySource(IMAGE), maker.trust, {suffix: bad})
    with pytest.raises(VerificationError, match=r"holds a signature hss-lms"):
        raw.verify(MemorySource(IMAGE), maker.trust, {suffix.removeprefix(".hsslms"): content})


def test_beside_a_classical_key_it_makes_a_file_of_its_own(maker: LmsSigner) -> None:
    classical = signer(Algorithm.ECDSA_P256_SHA256)
    keys = [classical.signing_key(), maker.signing_key]
    prepared = raw.prepare(MemorySource(IMAGE), keys, {"signing_time": TIME}, targets.ANY)
    first, second = prepared.slots
    patch = prepared.assemble({first.name: classical.sign(first), second.name: maker.sign(second.whole_message or b"")})
    assert [sidecar.suffix for sidecar in patch.sidecars] == [".p7s", ".hsslms.p7s"]


def test_cms_takes_no_tree_of_shake_and_cose_does() -> None:
    maker = LmsSigner("shake-n24-h5-w8")
    with pytest.raises(FormatError, match="trees of SHA-256"):
        maker.signed("cms")
    message, signature = lms_libraries.cose_message(maker.signed("cose"), hashlib.sha256(IMAGE).digest())
    assert lms_libraries.pyhsslms_accepts(maker.raw, message, signature)


def test_openssl_is_named_as_no_judge_of_it(maker: LmsSigner) -> None:
    for target in (targets.OPENSSL_3_0, targets.OPENSSL_3_5, targets.GNUTLS_3_7):
        with pytest.raises(FormatError, match="cannot verify hss-lms"):
            raw.prepare(MemorySource(IMAGE), [maker.signing_key], {"signing_time": TIME}, target)
