"""The CMS builder and its reader: what is signed, what is refused, and that nothing makes the reader crash."""

import hashlib
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from asn1crypto import core
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.throwaway import Signer, certificate, signer
from tests.verifiers import openssl

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.keys import Algorithm
from sealwright.formats import signed_data
from sealwright.formats.cms import Draft, only_key
from sealwright.formats.cms_shapes import DATA, ContentInfo, digest_name
from sealwright.formats.der import check_der
from sealwright.formats.interface import SigningKey

P256 = Algorithm.ECDSA_P256_SHA256
DIGEST = bytes(range(32))


def draft(who: Signer, *more: bytes, signing_time: int | None = 1_790_000_000, content: bytes | None = None) -> Draft:
    return Draft(
        key=who.signing_key(*more),
        content_type=DATA,
        message_digest=DIGEST,
        content=content,
        signing_time=signing_time,
    )


def assembled(made: Draft, who: Signer) -> bytes:
    return made.assemble({"signature": who.sign(made.slot())})


def changed(der: bytes, change: object) -> bytes:
    """Load a ContentInfo, let ``change`` alter its SignedData, and write it again."""
    outer = asn1.ContentInfo.load(der)
    change(outer["content"])  # type: ignore[operator]
    return bytes(outer.dump(force=True))


def test_the_message_to_sign_is_the_set_of_attributes_in_der_order() -> None:
    message = draft(signer(P256)).signed_attributes
    assert message[0] == 0x31  # SET OF, though the file says [0]
    check_der(message)
    members = [attribute.dump() for attribute in asn1.CMSAttributes.load(message)]
    assert members == sorted(members)
    assert [a["type"].native for a in asn1.CMSAttributes.load(message)] == [
        "content_type",
        "signing_time",
        "message_digest",
    ]


def test_a_draft_without_signing_time_signs_two_attributes() -> None:
    assert len(asn1.CMSAttributes.load(draft(signer(P256), signing_time=None).signed_attributes)) == 2


@pytest.mark.parametrize(("seconds", "kind"), [(2524607999, "utc_time"), (2524608000, "generalized_time")])
def test_signing_time_is_utctime_until_2049_and_generalizedtime_after(seconds: int, kind: str) -> None:
    who = signer(P256)
    made = draft(who, signing_time=seconds)
    times = [a for a in asn1.CMSAttributes.load(made.signed_attributes) if a["type"].native == "signing_time"]
    assert times[0]["values"][0].name == kind
    assert signed_data.parse(assembled(made, who)).signing_time == seconds


def test_what_is_read_is_what_was_written() -> None:
    who = signer(P256)
    made = draft(who, content=core.OctetString(b"within").dump())
    signed = signed_data.parse(assembled(made, who))
    assert signed.signed_attributes == made.signed_attributes
    assert (signed.content_type, signed.message_digest) == (DATA, DIGEST)
    assert signed.content == core.OctetString(b"within").dump()
    assert (signed.algorithm, signed.signer) == (P256, who.claim)
    assert signed.verify(who.trust) == who.public_key


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if not a.is_stateful])
def test_digest_algorithms_are_those_of_the_rfcs(algorithm: Algorithm) -> None:
    assert digest_name(algorithm) == (algorithm.hash_name if algorithm.is_prehashed else "sha512")


def test_the_digest_identifier_of_ed25519_has_no_parameters() -> None:
    who = signer(Algorithm.ED25519)
    der = assembled(draft(who), who)
    assert bytes.fromhex("300b 0609 608648016503040203") in der  # RFC 8419, section 3.1: absent, not NULL
    assert bytes.fromhex("300d 0609 608648016503040203 0500") not in der


def test_the_signer_need_not_be_the_first_certificate() -> None:
    who, places = signer(P256), set()
    for name in ("", "other with a long name"):  # a SET OF is sorted: the shorter element comes first
        other = certificate(who.key, name).public_bytes(serialization.Encoding.DER)
        der = assembled(draft(who, other), who)
        found = [c.chosen.dump() for c in asn1.ContentInfo.load(der)["content"]["certificates"]]
        places.add(found.index(who.certificate_der))
        assert signed_data.parse(der).spki_der == who.public_key.spki_der
    assert places == {0, 1}


def test_a_wrong_signature_is_not_assembled() -> None:
    who, other = signer(P256), signer(P256, "stranger")
    made = draft(who)
    with pytest.raises(VerificationError, match="does not verify"):
        made.assemble({"signature": other.sign(made.slot())})
    with pytest.raises(FormatError, match="expected exactly 'signature'"):
        made.assemble({})
    with pytest.raises(FormatError, match="expected exactly 'signature'"):
        made.assemble({"signature": b"", "second": b""})


def test_certificates_are_required_and_must_hold_the_key() -> None:
    who, other = signer(P256), signer(P256, "stranger")

    def key(*certificates: bytes) -> SigningKey:
        return SigningKey(profile="p", public_key=who.public_key, algorithm=P256, certificates=certificates)

    with pytest.raises(FormatError, match="key profile p has none") as e:
        only_key([key()], "raw")
    assert "self-signed" in e.value.hint
    with pytest.raises(FormatError, match=r"TEST ONLY stranger.*holds another key") as e:
        only_key([key(other.certificate_der, who.certificate_der)], "raw")
    assert e.value.code is Code.INVALID_DOCUMENT
    with pytest.raises(FormatError, match=r"not X\.509"):
        only_key([key(who.certificate_der[:-1])], "raw")
    with pytest.raises(FormatError, match=r"not X\.509"):
        only_key([key(who.certificate_der, b"junk")], "raw")
    with pytest.raises(FormatError, match="takes one key, 2 were given"):
        only_key([who.signing_key(), other.signing_key()], "raw")


def test_a_key_that_cannot_sign_the_algorithm_is_refused() -> None:
    who = signer(P256)
    wrong = SigningKey(
        profile="p",
        public_key=who.public_key,
        algorithm=Algorithm.RSA_PKCS1_SHA256,
        certificates=(who.certificate_der,),
    )
    with pytest.raises(FormatError, match="cannot sign rsa-pkcs1-sha256"):
        only_key([wrong], "raw")


def test_an_unsigned_attribute_may_be_added_later() -> None:
    who = signer(P256)
    der = assembled(draft(who), who)
    token = asn1.CMSAttribute({"type": "signature_time_stamp_token", "values": []})

    def add(signed: object) -> None:
        signed["signer_infos"][0]["unsigned_attrs"] = asn1.CMSAttributes([token])  # type: ignore[index]

    stamped = changed(der, add)
    assert stamped != der
    assert signed_data.parse(stamped).verify(who.trust) == who.public_key


def test_two_signers_are_refused() -> None:
    who = signer(P256)

    def twice(signed: object) -> None:
        signed["signer_infos"].append(signed["signer_infos"][0].copy())  # type: ignore[index]

    with pytest.raises(FormatError, match="2 signers"):
        signed_data.parse(changed(assembled(draft(who), who), twice))


def test_a_signer_without_signed_attributes_is_refused() -> None:
    who = signer(P256)

    def strip(signed: object) -> None:
        signed["signer_infos"][0]["signed_attrs"] = None  # type: ignore[index]

    with pytest.raises(FormatError, match="no signed attributes"):
        signed_data.parse(changed(assembled(draft(who), who), strip))


def test_a_signer_whose_certificate_is_missing_is_refused() -> None:
    who = signer(P256)

    def strip(signed: object) -> None:
        signed["certificates"] = asn1.CertificateSet([])  # type: ignore[index]

    with pytest.raises(FormatError, match="0 certificates of its signer"):
        signed_data.parse(changed(assembled(draft(who), who), strip))


def test_a_signer_named_otherwise_or_without_any_certificate_is_refused() -> None:
    who = signer(P256)

    def rename(signed: object) -> None:
        sid = asn1.SignerIdentifier({"subject_key_identifier": b"1"})
        signed["signer_infos"][0]["sid"] = sid  # type: ignore[index]

    def strip(signed: object) -> None:
        signed["certificates"] = None  # type: ignore[index]

    der = assembled(draft(who), who)
    with pytest.raises(FormatError, match="not named by issuer and serial number"):
        signed_data.parse(changed(der, rename))
    with pytest.raises(FormatError, match="no certificates, or too many"):
        signed_data.parse(changed(der, strip))


def test_content_of_two_elements_is_refused() -> None:
    who = signer(P256)
    outer = ContentInfo.load(assembled(draft(who, content=b"\x04\x01x"), who))
    content = outer["content"]["encap_content_info"]["content"]
    content.append(core.Any.load(b"\x04\x01y"))
    with pytest.raises(FormatError, match="content of 2 elements"):
        signed_data.parse(outer.dump(force=True))


def test_an_attribute_that_is_there_twice_is_refused() -> None:
    who = signer(P256)

    def twice(signed: object) -> None:
        info = signed["signer_infos"][0]  # type: ignore[index]
        attributes = [*info["signed_attrs"], info["signed_attrs"][1].copy()]
        info["signed_attrs"] = asn1.CMSAttributes(attributes)

    with pytest.raises(FormatError, match="is there twice"):
        signed_data.parse(changed(assembled(draft(who), who), twice))


def test_attributes_with_two_values_or_too_few_are_refused() -> None:
    who = signer(P256)

    def double(signed: object) -> None:
        info = signed["signer_infos"][0]  # type: ignore[index]
        digest = {"type": "message_digest", "values": [DIGEST, DIGEST[::-1]]}
        info["signed_attrs"] = asn1.CMSAttributes([{"type": "content_type", "values": [DATA]}, digest])

    def fewer(signed: object) -> None:
        info = signed["signer_infos"][0]  # type: ignore[index]
        info["signed_attrs"] = asn1.CMSAttributes([{"type": "content_type", "values": [DATA]}])

    der = assembled(draft(who), who)
    with pytest.raises(FormatError, match="message_digest has 2 values"):
        signed_data.parse(changed(der, double))
    with pytest.raises(FormatError, match="lack content type or message digest"):
        signed_data.parse(changed(der, fewer))


def test_a_digest_list_that_names_another_algorithm_is_refused() -> None:
    who = signer(P256)

    def other(signed: object) -> None:
        signed["digest_algorithms"][0]["algorithm"] = "sha512"  # type: ignore[index]

    with pytest.raises(FormatError, match="another digest algorithm than the list announces"):
        signed_data.parse(changed(assembled(draft(who), who), other))


def test_a_content_type_that_the_attributes_deny_is_refused() -> None:
    who = signer(P256)
    oid = bytes.fromhex("06092a864886f70d010701")
    der = assembled(draft(who), who)
    assert der.count(oid) == 2
    with pytest.raises(FormatError, match="content type differs"):
        signed_data.parse(der.replace(oid, oid[:-1] + b"\x05", 1))


def test_an_algorithm_swapped_for_a_weaker_one_is_refused() -> None:
    who = signer(Algorithm.RSA_PKCS1_SHA256)
    sha256, sha1 = bytes.fromhex("0609608648016503040201"), bytes.fromhex("06052b0e03021a")

    def weaken(signed: object) -> None:
        signed["digest_algorithms"][0]["algorithm"] = "sha1"  # type: ignore[index]
        signed["signer_infos"][0]["digest_algorithm"]["algorithm"] = "sha1"  # type: ignore[index]

    weak = changed(assembled(draft(who), who), weaken)
    assert sha1 in weak
    assert sha256 not in weak
    signed = signed_data.parse(weak)
    assert signed.algorithm is None
    with pytest.raises(VerificationError, match="sha1 and rsassa_pkcs1v15, which is not accepted"):
        signed.verify(who.trust)


def test_rsa_may_be_named_with_its_hash_but_not_with_another() -> None:
    who = signer(Algorithm.RSA_PKCS1_SHA256)

    def named(algorithm: str) -> signed_data.SignedData:
        def rename(signed: object) -> None:
            signed["signer_infos"][0]["signature_algorithm"] = {"algorithm": algorithm}  # type: ignore[index]

        return signed_data.parse(changed(assembled(draft(who), who), rename))

    assert named("sha256_rsa").verify(who.trust) == who.public_key
    with pytest.raises(VerificationError, match="sha256 and sha512_rsa, which is not accepted"):
        named("sha512_rsa").verify(who.trust)


def test_a_key_of_another_kind_than_the_algorithm_is_a_verification_error() -> None:
    who = signer(Algorithm.RSA_PKCS1_SHA256)

    def swap(signed: object) -> None:
        signed["signer_infos"][0]["signature_algorithm"] = {"algorithm": "sha256_ecdsa"}  # type: ignore[index]

    with pytest.raises(VerificationError, match="cannot sign ecdsa-p256-sha256"):
        signed_data.parse(changed(assembled(draft(who), who), swap)).verify(who.trust)


def test_openssl_reads_times_after_2049_as_we_write_them(tmp_path: Path) -> None:
    who = signer(P256)
    (tmp_path / "f").write_bytes(b"x")
    made = Draft(
        key=who.signing_key(),
        content_type=DATA,
        message_digest=hashlib.sha256(b"x").digest(),
        signing_time=4_000_000_000,
    )
    (tmp_path / "f.p7s").write_bytes(assembled(made, who))
    assert openssl.cms_verify(tmp_path / "f.p7s", tmp_path / "f", who.anchor(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x30", "cut short"),
        (b"\x30\x80\x00\x00", "indefinite"),
        (b"\x30\x81\x01\x00", "not minimal"),
        (b"\x30\x85\x01\x00\x00\x00\x00", "too large"),
        (b"\x30\x82\x00\x80" + bytes(128), "not minimal"),
        (b"\x30\x03\x04\x02\x00", "ends at"),
        (b"\x04\x00\x00", "1 bytes behind"),
        (b"\x24\x02\x04\x00", "tag 0x24"),
        (b"\x1f\x81\x01\x00", "tag 0x1f"),
        (b"\x30\x84\xff\xff\xff\xff", "ends at"),
        (b"\x30\x02\x30\x00", None),
    ],
)
def test_what_is_not_der_is_refused_before_the_lenient_parser_sees_it(data: bytes, message: str | None) -> None:
    if message is None:
        check_der(data)
        return
    with pytest.raises(FormatError, match=message):
        check_der(data)


def test_deep_nesting_and_excessive_size_are_refused() -> None:
    deep = b""
    for _ in range(40):
        deep = b"\x30" + bytes([len(deep)]) + deep
    with pytest.raises(FormatError, match="deeper than 32"):
        signed_data.parse(deep)
    with pytest.raises(FormatError, match="at most 1048576"):
        signed_data.parse(bytes(1_048_577))


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_never_crash_the_reader(data: bytes) -> None:
    with pytest.raises(FormatError):
        signed_data.parse(data)


GOOD = assembled(draft(signer(P256)), signer(P256))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutations_never_crash_the_reader_nor_move_the_trust(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    try:
        key = signed_data.parse(bytes(data)).verify(signer(P256).trust)
    except SealwrightError:
        return
    assert key == signer(P256).public_key
    assert signed_data.parse(bytes(data)).message_digest == DIGEST
