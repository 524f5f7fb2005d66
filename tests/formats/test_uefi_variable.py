"""Authenticated variables: efitools write the same bytes, and OpenSSL judges the signature over them."""

import hashlib
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.efi_images import RSA, put
from tests.formats.efi_variables import (
    KEK,
    NOW,
    OWNER,
    SHA256,
    STRANGER,
    certificates,
    lists,
    openssl_verify,
    update,
)
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import efitools

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import detect, signature_lists, targets, uefi, uefi_variable
from sealwright.formats.interface import Verified

DB = certificates(signer(RSA, "maker"))
HASHES = lists(SHA256, bytes(range(32)), bytes(range(32, 64)))
SIGNED = update(DB)
DATA_AT = len(SIGNED) - len(DB)
SBAT_LEVEL = b"sbat,1,2024010900\nshim,4\ngrub,3\ngrub.debian,4\n"


def check(data: bytes, who: Signer = KEK) -> Verified:
    return uefi_variable.verify(MemorySource(data), who.trust, {})


def message(signed: bytes, folder: Path, variable: str = "db", **options: bool) -> bytes:
    """What efitools would sign for the contents that stand in an update."""
    return efitools.to_be_signed(variable, signed[DATA_AT:], NOW, folder, **options)


@pytest.mark.parametrize("variable", ["PK", "KEK", "db", "dbx"])
@pytest.mark.parametrize("append", [False, True])
def test_openssl_accepts_what_we_sign_over_the_bytes_that_efitools_would_sign(
    tmp_path: Path, variable: str, append: bool
) -> None:
    if variable == "PK" and append:
        with pytest.raises(FormatError, match="never appended to"):
            update(DB, variable=variable, append=True)
        return
    signed = update(DB, variable=variable, append=append)
    judged = openssl_verify(signed, message(signed, tmp_path, variable, append=append), KEK.anchor(tmp_path), tmp_path)
    assert (judged.returncode, "Verification successful" in judged.stderr) == (0, True)
    assert check(signed).signatures[0].name == (f"{variable}, appended" if append else variable)


def test_fifty_random_updates_are_those_of_efitools_byte_for_byte(tmp_path: Path) -> None:
    dice = random.Random(8)  # noqa: S311  (a repeatable choice)
    who = [KEK, signer(RSA, "second", 3072), signer(RSA, "third", 4096)]
    for _ in range(50):
        data = b"".join(dice.choice([DB, HASHES, certificates(dice.choice(who))]) for _ in range(dice.randint(1, 4)))
        by, variable, append = dice.choice(who), dice.choice(["KEK", "db", "dbx"]), dice.random() < 0.5
        timestamp = dice.randrange(0, 4_000_000_000)
        ours = update(data, by, variable, append=append, timestamp=timestamp)
        key, anchor = by.private_file(tmp_path), by.anchor(tmp_path)
        assert ours == efitools.sign(variable, data, timestamp, key, anchor, tmp_path, append=append)
        assert check(ours, by)


def test_efitools_packs_a_certificate_as_we_read_it(tmp_path: Path) -> None:
    maker = signer(RSA, "maker")
    packed = efitools.signature_list(maker.anchor(tmp_path), OWNER, tmp_path / "list.esl")
    assert packed == DB
    (entry,) = signature_lists.read(packed)
    assert (entry.type, entry.owner, entry.data) == (signature_lists.X509, OWNER, maker.certificate_der)


def test_a_flip_in_each_part_is_refused_by_openssl_and_by_us(tmp_path: Path) -> None:
    anchor, tbs = KEK.anchor(tmp_path), message(SIGNED, tmp_path)
    assert openssl_verify(SIGNED, tbs, anchor, tmp_path).returncode == 0
    for at in (0, len(tbs) // 2, len(tbs) - 1, len(tbs) - len(DB) - 1, 5):
        judged = openssl_verify(SIGNED, flipped(tbs, at), anchor, tmp_path)
        assert judged.returncode != 0
        assert refusal(judged), judged.stderr
    for at in (len(SIGNED) - 1, DATA_AT + 28, 6):  # contents, owner, second
        with pytest.raises(VerificationError, match="not what was signed, for no variable") as e:
            check(flipped(SIGNED, at))
        assert e.value.code is Code.IMAGE_MISMATCH
    in_signature = flipped(SIGNED, DATA_AT - 1)
    assert refusal(openssl_verify(in_signature, tbs, anchor, tmp_path))
    with pytest.raises(VerificationError, match="not what was signed"):
        check(in_signature)


def refusal(judged: "subprocess.CompletedProcess[str]") -> bool:
    return judged.returncode != 0 and ("signature failure" in judged.stderr or "Verification failure" in judged.stderr)


def test_a_stranger_is_refused_under_the_same_name(tmp_path: Path) -> None:
    namesake = signer(RSA, "key exchange key", 3072)
    signed, tbs = update(DB, namesake), message(SIGNED, tmp_path)
    judged = openssl_verify(signed, tbs, KEK.anchor(tmp_path), tmp_path)
    assert (judged.returncode != 0, "certificate verify error" in judged.stderr) == (True, True)
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY key exchange key") as e:
        check(signed)
    assert e.value.code is Code.NOT_TRUSTED
    assert check(signed, namesake)


def test_a_stripped_signature_is_refused() -> None:
    with pytest.raises(VerificationError, match="carry no signature"):
        check(DB)
    unsigned = SIGNED[:16] + uefi.certificate(b"") + DB
    with pytest.raises(FormatError, match="WIN_CERTIFICATE_UEFI_GUID of 24 bytes"):
        check(unsigned)


def test_without_an_anchor_nothing_is_accepted(tmp_path: Path) -> None:
    assert openssl_verify(SIGNED, message(SIGNED, tmp_path), None, tmp_path).returncode != 0
    with pytest.raises(VerificationError, match="not trusted"):
        uefi_variable.verify(MemorySource(SIGNED), STRANGER.trust, {})


def test_a_flip_anywhere_is_refused_or_leaves_the_proof_as_it_was() -> None:
    accepted = 0
    for at in range(len(SIGNED)):
        try:
            verified = check(flipped(SIGNED, at))
        except (FormatError, VerificationError):
            continue
        accepted += 1
        assert 16 <= at < DATA_AT, hex(at)
        assert verified.keys == (KEK.public_key,)
    assert accepted < len(KEK.certificate_der)  # the certificate's times, extensions and own signature


def test_an_update_cut_anywhere_is_refused_and_never_crashes() -> None:
    for at in range(len(SIGNED)):
        with pytest.raises((FormatError, VerificationError)):
            check(SIGNED[:at])
    two = update(DB + HASHES)
    with pytest.raises(VerificationError, match="not what was signed"):
        check(two[: -len(HASHES)])  # between two lists: only the signature knows


def test_bytes_behind_the_lists_are_refused() -> None:
    for tail, message in ((b"\0", "cut short"), (bytes(28), "unknown type"), (HASHES, "not what was signed")):
        with pytest.raises((FormatError, VerificationError), match=message):
            check(SIGNED + tail)


def test_signing_twice_is_refused_and_says_why() -> None:
    with pytest.raises(FormatError, match="certificate in the file says CN=TEST ONLY key exchange key") as e:
        update(SIGNED)
    assert e.value.code is Code.ALREADY_SIGNED


def test_the_contents_stay_as_they_were_and_the_inverse_restores_them() -> None:
    source = MemorySource(DB)
    prepared = uefi_variable.prepare(source, [KEK.signing_key()], {"variable": "db", "timestamp": NOW}, targets.ANY)
    made = prepared.assemble(KEK.sign_all(prepared))
    assert SIGNED[DATA_AT:] == DB
    assert b"".join(made.inverse().apply(MemorySource(SIGNED))) == DB
    assert records.parse(Patch, records.serialise(made)) == made


def test_frozen_options_give_the_same_slots_and_signing_is_deterministic() -> None:
    source, chosen = MemorySource(DB), {"variable": "db", "timestamp": NOW}
    first = uefi_variable.prepare(source, [KEK.signing_key()], chosen, targets.TARGETS["ovmf"])
    again = uefi_variable.prepare(source, [KEK.signing_key()], first.options, targets.TARGETS["ovmf"])
    assert first.options == {**chosen, "append": False}
    assert first.slots == again.slots
    assert first.assemble(KEK.sign_all(first)) == again.assemble(KEK.sign_all(again))
    for other in ({"variable": "dbx"}, {"timestamp": NOW + 1}, {"append": True}):
        changed = uefi_variable.prepare(source, [KEK.signing_key()], {**first.options, **other}, targets.ANY)
        assert changed.slots[0].digest != first.slots[0].digest


def test_an_update_for_one_variable_says_so_when_verified_for_another() -> None:
    assert check(update(DB, variable="KEK")).signatures[0].name == "KEK"
    assert check(update(DB, variable="dbx", append=True)).signatures[0].name == "dbx, appended"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variable": "Boot0001"}, "variable: expected one of"),
        ({"timestamp": "now"}, "timestamp: expected int"),
        ({"timestamp": 1 << 40}, "beyond the year 9999"),
        ({"append": 1}, "append: expected bool"),
        ({"guid": OWNER}, "unknown members"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message) as e:
        uefi_variable.prepare(
            MemorySource(DB), [KEK.signing_key()], {"variable": "db", "timestamp": NOW, **options}, targets.ANY
        )
    assert e.value.code is Code.INVALID_DOCUMENT


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256_SHA256, Algorithm.RSA_PSS_SHA256, Algorithm.ED25519])
def test_other_algorithms_are_refused_with_what_would_work(algorithm: Algorithm) -> None:
    with pytest.raises(FormatError, match=f"cannot verify {algorithm}") as e:
        update(DB, signer(algorithm))
    assert e.value.code is Code.TARGET_CANNOT_VERIFY
    assert e.value.hint == "it accepts: rsa-pkcs1-sha256"


def test_contents_that_firmware_would_refuse_are_refused_first() -> None:
    revoked = lists("3bd2a492-96c0-4079-b420-fcf98ef103ed", bytes(48))
    for variable, data, message in (
        ("PK", DB + DB, "exactly one certificate"),
        ("PK", HASHES, "exactly one certificate"),
        ("db", revoked, "db takes no revoked certificates"),
    ):
        with pytest.raises(FormatError, match=message) as e:
            update(data, variable=variable)
        assert e.value.code is Code.TARGET_CANNOT_VERIFY
    assert check(update(revoked, variable="dbx"))


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, bytes(16), "unknown type 00000000"),
        (16, b"\0\0\0\0", "signature list of 0 bytes"),
        (16, b"\xff\xff\xff\xff", "signature list of 4294967295 bytes"),
        (20, b"\1\0\0\0", "a header of 1"),
        (24, b"\0\0\0\0", "entries of 0 "),
        (24, b"\x10\0\0\0", "entries of 16 "),
        (24, b"\xff\xff\xff\xff", "entries of 4294967295 "),
        (24, b"\x20\0\0\0", "entry of 16 bytes in a list of|signature list of"),
    ],
)
def test_a_list_that_lies_is_refused_by_name(at: int, value: bytes, message: str) -> None:
    for read in (signature_lists.read, lambda data: uefi_variable.inspect(MemorySource(data))):
        with pytest.raises(FormatError, match=message):
            read(put(HASHES, at, value))


def test_a_certificate_that_is_none_is_refused() -> None:
    with pytest.raises(FormatError, match=r"DER|not an X\.509"):
        signature_lists.read(lists(signature_lists.X509, b"junk junk"))


def test_a_flood_of_entries_is_refused() -> None:
    with pytest.raises(FormatError, match="more than 8192 entries"):
        signature_lists.read(lists(SHA256, *[bytes(32)] * 8193))
    with pytest.raises(FormatError, match="at most"):
        uefi_variable.inspect(MemorySource(lists(SHA256, *[bytes(32)] * 25_000)))
    with pytest.raises(FormatError, match="no signature list"):
        signature_lists.read(b"")


def test_inspect_tells_an_approver_what_an_update_would_do() -> None:
    found = uefi_variable.inspect(MemorySource(update(DB + HASHES)))
    assert found.facts["Time"] == "2026-11-21T10:11:12+00:00"
    assert found.facts["Variable"] == "db"
    changed = uefi_variable.inspect(MemorySource(flipped(update(DB + HASHES), DATA_AT + len(DB + HASHES) - 1)))
    assert changed.facts["Variable"].startswith("the signature does not match this file")
    assert uefi_variable.inspect(MemorySource(update(DB + HASHES, append=True))).facts["Variable"] == "db, appended"
    assert found.facts["Entries"] == "3"
    assert found.facts["Entry 1"].startswith("certificate CN=TEST ONLY maker (SHA-256 ")
    assert found.facts["Entry 2"] == f"SHA-256 {bytes(range(32)).hex()}, owner {OWNER}"
    assert [(s.algorithm, s.signer) for s in found.signatures] == [("rsa-pkcs1-sha256", KEK.claim)]
    assert [(part.start, part.stop) for part in found.covered] == [(0, 16), (DATA_AT, DATA_AT + len(DB + HASHES))]
    assert [part.stop - part.start for part, _ in found.uncovered] == [DATA_AT - 16]
    revoked = lists("3bd2a492-96c0-4079-b420-fcf98ef103ed", bytes(32) + uefi.time(NOW), bytes(48))
    facts = uefi_variable.inspect(MemorySource(revoked)).facts
    assert "revoked since 2026-11-21T10:11:12+00:00" in facts["Entry 1"]
    assert "revoked since always" in facts["Entry 2"]


def test_a_certificate_behind_seventy_hashes_is_shown_and_what_is_left_out_is_counted_and_hashed() -> None:
    hashes = [bytes([n]) * 32 for n in range(70)]
    revoked = "3bd2a492-96c0-4079-b420-fcf98ef103ed"
    last = lists(revoked, bytes(48)) + certificates(STRANGER)
    facts = uefi_variable.inspect(MemorySource(lists(SHA256, *hashes) + last)).facts
    assert list(facts)[1:5] == ["Entries", "Entry 72", "Entry 71", "Entry 1"]
    assert facts["Entry 72"].startswith("certificate CN=TEST ONLY stranger (SHA-256 ")
    assert facts["Entry 71"].startswith("certificate with SHA-256 ")
    left_out = b"".join(uefi.guid(SHA256) + uefi.guid(OWNER) + digest for digest in hashes[62:])
    assert facts["And"] == (
        "8 more (8 SHA-256), SHA-256 of their types, owners and contents " + hashlib.sha256(left_out).hexdigest()
    )
    assert "And" not in uefi_variable.inspect(MemorySource(lists(SHA256, *hashes[:64]))).facts


def test_certificates_that_are_left_out_are_counted_as_such_and_an_exchanged_one_is_seen() -> None:
    many, other = [certificates(KEK)] * 64, certificates(STRANGER)
    before, after = (
        uefi_variable.inspect(MemorySource(b"".join([*many, more, HASHES]))).facts["And"] for more in (DB, other)
    )
    assert before.startswith("3 more (1 certificates, 2 SHA-256), SHA-256 of ")
    assert before[:40] == after[:40]
    assert before != after


def test_inspect_reads_an_sbat_level_and_prepare_says_where_it_belongs() -> None:
    found = uefi_variable.inspect(MemorySource(SBAT_LEVEL))
    assert found.facts["Date"] == "2024010900"
    assert found.facts["Revokes grub"] == "generations before 3"
    assert found.facts["Revokes grub.debian"] == "generations before 4"
    assert found.covered == ()
    with pytest.raises(FormatError, match="SbatLevel is not an authenticated variable") as e:
        update(SBAT_LEVEL)
    assert "sign that as uefi-pe" in e.value.hint


def test_variables_are_recognised_and_others_are_not() -> None:
    for data in (DB, HASHES, SIGNED, SBAT_LEVEL):
        assert detect(MemorySource(data)) is uefi_variable
    for other in (b"", b"sbat", bytes(64), b"sbat,x,y\n", DB[:20], b"MZ" + bytes(70)):
        assert not uefi_variable.matches(MemorySource(other))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    for source in (MemorySource(data), MemorySource(SIGNED[:40] + data), MemorySource(DB[:28] + data)):
        uefi_variable.matches(source)
        for read in (uefi_variable.inspect, lambda s: uefi_variable.verify(s, KEK.trust, {})):
            with pytest.raises(SealwrightError):
                read(source)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SIGNED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_updates_never_crash_nor_change_what_was_signed(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SIGNED)
    for at, value in changes:
        data[at] = value
    try:
        uefi_variable.inspect(MemorySource(bytes(data)))
        check(bytes(data))
    except SealwrightError:
        return
    assert (data[:16], data[DATA_AT:]) == (SIGNED[:16], DB)
