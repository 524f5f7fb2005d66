"""The minisign file beside a raw file: minisign itself makes and judges it."""

import base64
from pathlib import Path

import pytest
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import minisign

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import CHUNK_BYTES, MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import raw, raw_minisign, targets
from sealwright.formats.interface import Trust
from sealwright.keystores import private_keys

IMAGE = bytes(range(256)) * 64
TIME = 1_790_000_000
ED25519 = Algorithm.ED25519
SECOND_LINE, SIGNATURE_AT = 1, 10
"""The blob is two bytes of algorithm, eight of key id, and the signature."""


def prepared(*who: Signer, image: bytes = IMAGE, **options: object) -> raw.Prepared:
    keys = [one.signing_key() for one in who]
    chosen = {"signing_time": TIME, "output": "minisign", **options}
    return raw.prepare(MemorySource(image), keys, chosen, targets.ANY)


def signed(who: Signer, **options: object) -> bytes:
    made = prepared(who, **options)
    (sidecar,) = made.assemble(who.sign_all(made)).sidecars
    assert sidecar.suffix == ".minisig"
    return sidecar.content


def verify(content: bytes, who: Signer, image: bytes = IMAGE) -> raw.Verified:
    return raw.verify(MemorySource(image), who.trust, {".minisig": content})


def with_line(content: bytes, number: int, line: bytes) -> bytes:
    lines = content.split(b"\n")
    lines[number] = line
    return b"\n".join(lines)


def with_flip(content: bytes, line: int, at: int) -> bytes:
    """Flip a bit of what a line of base64 holds."""
    blob = base64.b64decode(content.split(b"\n")[line])
    return with_line(content, line, base64.b64encode(flipped(blob, at)))


def files(folder: Path, content: bytes, who: Signer, image: bytes = IMAGE) -> tuple[Path, Path]:
    """Write image, signature and public key where minisign looks."""
    (folder / "router.bin").write_bytes(image)
    (folder / "router.bin.minisig").write_bytes(content)
    (folder / "maker.pub").write_text(raw_minisign.public_key_file(who.public_key))
    return folder / "router.bin", folder / "maker.pub"


@pytest.mark.parametrize("more", [{}, {"trusted_comment": "file:router.bin version 1.2.3"}])
@pytest.mark.parametrize("size", [1, len(IMAGE), 2 * CHUNK_BYTES + 1])
def test_minisign_accepts_what_we_sign(tmp_path: Path, more: dict[str, object], size: int) -> None:
    who, image = signer(ED25519), (IMAGE * (size // len(IMAGE) + 1))[:size]
    content = signed(who, image=image, **more)
    good = minisign.verify(*files(tmp_path, content, who, image), "-H")
    assert good.returncode == 0, good.stderr
    assert minisign.VERIFIED in good.stdout
    comment = f"timestamp:{TIME}" + "".join(f"\t{text}" for text in more.values())
    assert f"Trusted comment: {comment}\n" in good.stdout
    assert verify(content, who, image).keys == (who.public_key,)


def test_flips_of_image_signatures_and_comment_are_refused_by_minisign_and_us(tmp_path: Path) -> None:
    who = signer(ED25519)
    content = signed(who)
    comment = f"trusted comment: timestamp:{TIME + 1}".encode()
    for changed, image, theirs, ours in (
        (content, flipped(IMAGE, 4711), "Signature verification failed", "does not verify"),
        (content, IMAGE[:-1], "Signature verification failed", "does not verify"),
        (with_flip(content, 1, SIGNATURE_AT), IMAGE, "Signature verification failed", "does not verify"),
        (with_flip(content, 1, SIGNATURE_AT + 63), IMAGE, "Signature verification failed", "does not verify"),
        (with_line(content, 2, comment), IMAGE, "Comment signature verification failed", "trusted comment is not"),
        (with_flip(content, 3, 0), IMAGE, "Comment signature verification failed", "trusted comment is not"),
        (with_flip(content, 3, 63), IMAGE, "Comment signature verification failed", "trusted comment is not"),
    ):
        bad = minisign.verify(*files(tmp_path, changed, who, image))
        assert (bad.returncode, theirs in bad.stderr) == (1, True), bad.stderr
        with pytest.raises(VerificationError, match=ours):
            verify(changed, who, image)
    assert minisign.verify(*files(tmp_path, content, who)).returncode == 0
    assert verify(content, who).signatures[0].algorithm == ED25519


def test_a_stranger_is_refused_by_minisign_and_us(tmp_path: Path) -> None:
    maker, stranger = signer(ED25519), signer(ED25519, "stranger")
    content = signed(stranger)
    bad = minisign.verify(*files(tmp_path, content, maker))
    assert (bad.returncode, "key id" in bad.stderr) == (1, True)
    with pytest.raises(VerificationError, match="no trusted key made the signature") as caught:
        verify(content, maker)
    assert caught.value.code is Code.NOT_TRUSTED
    own_id = base64.b64decode(signed(maker).split(b"\n")[SECOND_LINE])[2:10]  # a stranger under the maker's key id
    blob = base64.b64decode(content.split(b"\n")[SECOND_LINE])
    forged = with_line(content, SECOND_LINE, base64.b64encode(blob[:2] + own_id + blob[10:]))
    bad = minisign.verify(*files(tmp_path, forged, maker))
    assert (bad.returncode, "Signature verification failed" in bad.stderr) == (1, True)
    with pytest.raises(VerificationError, match="signature does not verify"):
        verify(forged, maker)


def test_halves_of_two_files_are_refused_by_minisign_and_us(tmp_path: Path) -> None:
    """The second signature binds the comment to the first, so to the file."""
    who = signer(ED25519)
    ours, other = signed(who), signed(who, image=b"another image", trusted_comment="version 9")
    mixed = b"\n".join([*ours.split(b"\n")[:2], *other.split(b"\n")[2:]])
    bad = minisign.verify(*files(tmp_path, mixed, who))
    assert (bad.returncode, "Comment signature verification failed" in bad.stderr) == (1, True)
    with pytest.raises(VerificationError, match="trusted comment is not"):
        verify(mixed, who)


@pytest.mark.parametrize("options", [(), ("-t", "version 1.2.3 für Zürich"), ("-t", ""), ("-c", "from our mill")])
def test_we_verify_what_minisign_signs_with_a_key_of_its_own(tmp_path: Path, options: tuple[str, ...]) -> None:
    public, secret = minisign.generate(tmp_path)
    image = tmp_path / "router.bin"
    image.write_bytes(IMAGE)
    minisign.sign(image, secret, *options)
    assert minisign.VERIFIED in minisign.verify(image, public).stdout
    content, key = (tmp_path / "router.bin.minisig").read_bytes(), minisign.key_of(public)
    trust = Trust(keys=(signer(Algorithm.ECDSA_P256_SHA256).public_key, signer(ED25519).public_key, key))
    verified = raw.verify(MemorySource(IMAGE), trust, {".minisig": content})
    assert verified.keys == (key,)
    # The tool draws its key ids by lot; theirs and ours are printed alike.
    assert verified.signatures[0].signer in public.read_text()
    for image_bytes, keys in ((IMAGE[1:], trust.keys), (IMAGE, trust.keys[:-1]), (IMAGE, ())):
        with pytest.raises(VerificationError, match="no trusted key made the signature"):
            raw.verify(MemorySource(image_bytes), Trust(keys=keys), {".minisig": content})


def test_our_public_key_file_differs_from_that_of_minisign_in_the_key_id_alone(tmp_path: Path) -> None:
    public, _ = minisign.generate(tmp_path)
    key = minisign.key_of(public)
    ours, theirs = (text.splitlines() for text in (raw_minisign.public_key_file(key), public.read_text()))
    blobs = [base64.b64decode(lines[1]) for lines in (ours, theirs)]
    assert blobs[0][2:10] == raw_minisign.key_id(key)
    assert blobs[0][:2] + blobs[0][10:] == blobs[1][:2] + blobs[1][10:]
    for lines, blob in zip((ours, theirs), blobs, strict=True):
        assert lines[0] == f"untrusted comment: minisign public key {raw_minisign.spelled(blob[2:10])}"


def test_a_key_id_is_spelled_as_minisign_spells_it() -> None:
    assert raw_minisign.spelled(bytes.fromhex("526dc9e05c8a06f8")) == "F8068A5CE0C96D52"
    assert raw_minisign.spelled(bytes.fromhex("526dc9e05c8a0600")) == "68A5CE0C96D52"


def test_a_legacy_signature_is_refused_with_the_way_out(tmp_path: Path) -> None:
    public, secret = minisign.generate(tmp_path)
    image = tmp_path / "router.bin"
    image.write_bytes(IMAGE)
    minisign.sign(image, secret, "-l")
    assert minisign.VERIFIED in minisign.verify(image, public).stdout
    content = (tmp_path / "router.bin.minisig").read_bytes()
    with pytest.raises(FormatError, match="legacy kind") as caught:
        raw.verify(MemorySource(IMAGE), Trust(keys=(minisign.key_of(public),)), {".minisig": content})
    assert "without -l" in caught.value.hint


def test_a_signature_made_legacy_again_passes_for_the_hash_as_a_file_unless_prehashing_is_demanded(
    tmp_path: Path,
) -> None:
    """A property of minisign's format: nothing signs which kind it is."""
    who = signer(ED25519)
    content, hashed = signed(who), prepared(who).slots[0].whole_message
    blob = base64.b64decode(content.split(b"\n")[SECOND_LINE])
    relabelled = with_line(content, SECOND_LINE, base64.b64encode(b"Ed" + blob[2:]))
    assert hashed is not None
    given = files(tmp_path, relabelled, who, hashed)
    assert minisign.verify(*given).returncode == 0
    bad = minisign.verify(*given, "-H")
    assert (bad.returncode, "Legacy (non-prehashed) signature found" in bad.stderr) == (1, True)
    with pytest.raises(FormatError, match="legacy kind"):
        verify(relabelled, who, hashed)


def test_the_key_id_and_the_untrusted_comment_alone_are_not_covered(tmp_path: Path) -> None:
    """As in minisign, which then looks for another key; the evidence holds the whole file, byte for byte."""
    who = signer(ED25519)
    content = signed(who)
    other_id = with_flip(content, SECOND_LINE, 2)
    assert verify(other_id, who).keys == (who.public_key,)
    bad = minisign.verify(*files(tmp_path, other_id, who))
    assert (bad.returncode, "key id" in bad.stderr) == (1, True)
    other_comment = with_line(content, 0, b"untrusted comment: another")
    assert verify(other_comment, who).keys == (who.public_key,)
    assert minisign.verify(*files(tmp_path, other_comment, who)).returncode == 0


def test_a_minisign_file_cut_anywhere_or_flipped_where_it_is_covered_is_refused() -> None:
    who = signer(ED25519)
    content = signed(who)
    second_line = content.index(b"\n") + 1
    untrusted = range(len("untrusted comment: "), second_line - 1)
    key_id = range(second_line + 2, second_line + 14)  # in base64, with parts of what stands before and behind
    for at in range(len(content)):
        with pytest.raises(FormatError):
            verify(content[:at], who)
        if at not in (*untrusted, *key_id):
            with pytest.raises(SealwrightError):
                verify(flipped(content, at), who)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c + b"\n",
        lambda c: c + b"more\n",
        lambda c: c[:-1],
        lambda c: c.replace(b"\n", b"\r\n"),
        lambda c: b"\n" + c,
        lambda c: c.replace(b"trusted comment", b"Trusted comment"),
        lambda c: c.replace(b"timestamp", "\u202etimestamp".encode()),
        lambda c: c.replace(b"timestamp", b"\xfftimestamp"),
        lambda c: c.replace(b"timestamp", b"\x1b[2Jtimestamp"),
        lambda c: c.replace(b"signature by", b"\x00signature by"),
        lambda c: c.replace(b"timestamp", b"x" * 8001),
        lambda c: c.replace(b"signature by", b"x" * 1001),
        lambda c: with_line(c, 1, base64.b64encode(b"EE" + bytes(72))),
        lambda c: with_line(c, 1, base64.b64encode(b"ED" + bytes(71))),
        lambda c: with_line(c, 1, base64.b64encode(b"ED" + bytes(73))),
        lambda c: with_line(c, 3, c.split(b"\n")[3][:-3] + b"B=="),  # stray bits
        lambda _: b"",
        lambda _: b"untrusted comment: " * 100_000,
        lambda _: bytes(1 << 20),
    ],
)
def test_a_lying_minisign_file_is_a_format_error(change) -> None:  # type: ignore[no-untyped-def]
    who = signer(ED25519)
    with pytest.raises(FormatError):
        verify(change(signed(who)), who)


def test_both_messages_are_laid_out_before_anything_is_signed() -> None:
    who = signer(ED25519)
    first, second = prepared(who, trusted_comment="for the mill").slots
    assert (first.name, first.after) == ("signature", None)
    assert (second.name, second.after, second.key_profile) == ("global-signature", "signature", first.key_profile)
    assert first.whole_message is not None
    assert len(first.whole_message) == 64
    assert second.whole_message == f"timestamp:{TIME}\tfor the mill".encode()


def test_frozen_options_give_the_same_minisign_slots_again() -> None:
    who = signer(ED25519)
    made = prepared(who, trusted_comment="a b")
    assert made.options == {"output": "minisign", "signing_time": TIME, "trusted_comment": "a b"}
    again = raw.prepare(MemorySource(IMAGE), [who.signing_key()], made.options, targets.ANY)
    assert (again.slots, again.options) == (made.slots, made.options)


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256_SHA256, Algorithm.RSA_PKCS1_SHA256, Algorithm.ML_DSA_44])
def test_minisign_takes_ed25519_keys_alone(algorithm: Algorithm) -> None:
    with pytest.raises(FormatError, match="minisign has no keys of") as caught:
        prepared(signer(algorithm))
    assert "ed25519 alone" in caught.value.hint
    with pytest.raises(FormatError, match="minisign has no keys of"):
        raw_minisign.public_key_file(signer(algorithm).public_key)


def test_minisign_takes_one_key() -> None:
    with pytest.raises(FormatError, match="one key of each kind"):
        prepared(signer(ED25519), signer(ED25519, "second"))


@pytest.mark.parametrize("text", ["", " a", "a ", "a\nb", "a\tb", "é", "x" * 257, "\x1b[2J"])
def test_a_trusted_comment_is_printable_and_short(text: str) -> None:
    with pytest.raises(FormatError, match="trusted_comment"):
        prepared(signer(ED25519), trusted_comment=text)
    assert prepared(signer(ED25519), trusted_comment="x" * 256)


def test_assembling_refuses_signatures_that_were_exchanged() -> None:
    who = signer(ED25519)
    made = prepared(who)
    first, tail = (slot.whole_message or b"" for slot in made.slots)
    signature = private_keys.sign(who.key, ED25519, first)
    good = private_keys.sign(who.key, ED25519, signature + tail)
    assert made.assemble({"signature": signature, "global-signature": good})
    alone = private_keys.sign(who.key, ED25519, tail)
    for pair in ((signature, alone), (good, signature), (signature, signature)):
        with pytest.raises(VerificationError):
            made.assemble(dict(zip(("signature", "global-signature"), pair, strict=True)))
    with pytest.raises(FormatError, match="expected exactly"):
        made.assemble({"signature": signature})
