"""Signed files appear complete, verified by the format and by the whole evidence, or not at all."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_der_x509_certificate
from tests.client.signed import Maker
from tests.conftest import missing
from tests.formats import efi_images, esp32_images, fits, flips
from tests.verifiers import openssl, sbverify

from sealwright.client import delivery
from sealwright.client.assembly import Delivered, assemble, deliver, verify_written
from sealwright.client.compose import PreparedArtifact
from sealwright.client.files import FileSource
from sealwright.client.offline import load_evidence, verify_file
from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.patches import Sidecar
from sealwright.evidence.bundle import Dossier, Evidence
from sealwright.formats import FORMATS

IMAGE = b"firmware of a router " * 4000


@pytest.fixture(scope="module")
def raw() -> Maker:
    return Maker()


def put(folder: Path, data: bytes = IMAGE, name: str = "router.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(maker: Maker, dossier: Dossier, path: Path, output: Path | None = None, **more: Any) -> Delivered:
    with FileSource(path) as source:
        evidence = assemble(dossier, path.name, source, FORMATS)
        return deliver(evidence, source, output, maker.trust(), FORMATS, **more)


def anchor(maker: Maker, folder: Path) -> Path:
    path = folder / "anchor.pem"
    certificate = load_der_x509_certificate(maker.profile.certificates[0])
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_raw_image_stays_and_signature_and_evidence_lie_beside_it(tmp_path, raw):
    path = put(tmp_path)
    delivered = make(raw, raw.sign(raw.prepare(path)), path)
    assert (delivered.image, delivered.sidecars) == (path, (tmp_path / "router.bin.p7s",))
    assert path.read_bytes() == IMAGE
    assert names(tmp_path) == ["router.bin", "router.bin.p7s", "router.bin.sealwright"]
    assert delivered.verified.recomputed == 2
    assert verify_file(path, None, raw.trust(), FORMATS).notes == ()
    assert openssl.cms_verify(delivered.sidecars[0], path, anchor(raw, tmp_path)).returncode == 0
    path.write_bytes(IMAGE[:-1] + b"!")
    judged = openssl.cms_verify(delivered.sidecars[0], path, tmp_path / "anchor.pem")
    assert judged.returncode != 0
    assert "content verify error" in judged.stderr
    with pytest.raises(VerificationError, match="this is not the approved image"):
        verify_file(path, None, raw.trust(), FORMATS)


def test_a_raw_image_is_copied_when_a_name_is_given(tmp_path, raw):
    path = put(tmp_path)
    make(raw, raw.sign(raw.prepare(path)), path, tmp_path / "release.bin")
    assert names(tmp_path) == ["release.bin", "release.bin.p7s", "release.bin.sealwright", "router.bin"]
    assert (tmp_path / "release.bin").read_bytes() == IMAGE


def image_of(image_format: str, folder: Path) -> bytes:
    if image_format == "uefi-pe":
        return efi_images.image()
    if image_format == "u-boot-fit":
        return fits.Recipe().build(folder)
    if image_format == "esp32-secure-boot-v2":
        return esp32_images.application()
    uboot = Path("/usr/lib/u-boot/qemu_arm/u-boot.bin")
    if not uboot.is_file():
        missing("package u-boot-qemu")
    return uboot.read_bytes()


@pytest.mark.parametrize("image_format", ["uefi-pe", "u-boot-fit", "mcuboot", "esp32-secure-boot-v2"])
def test_an_image_that_carries_its_signature_gets_a_new_name(tmp_path, image_format):
    maker = Maker(image_format)
    data = image_of(image_format, tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    path = put(folder, data, "firmware.v2.img")
    delivered = make(maker, maker.sign(maker.prepare(path)), path)
    assert names(folder) == ["firmware.v2.img", "firmware.v2.signed.img", "firmware.v2.signed.img.sealwright"]
    assert path.read_bytes() == data
    signed = delivered.image.read_bytes()
    verify_file(delivered.image, None, maker.trust(), FORMATS)
    for at in (len(data) // 2, len(signed) - 1):
        delivered.image.write_bytes(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])
        with pytest.raises((VerificationError, FormatError)):
            verify_file(delivered.image, None, maker.trust(), FORMATS)


def test_sbverify_accepts_what_is_delivered_and_refuses_it_flipped(tmp_path):
    maker = Maker("uefi-pe")
    path = put(tmp_path, efi_images.image(), "memtest.efi")
    delivered = make(maker, maker.sign(maker.prepare(path)), path)
    assert sbverify.verify(delivered.image, anchor(maker, tmp_path)).returncode == 0
    data = delivered.image.read_bytes()
    delivered.image.write_bytes(flips.flipped(data, len(efi_images.image()) // 2))
    judged = sbverify.verify(delivered.image, tmp_path / "anchor.pem")
    assert judged.returncode != 0
    assert "Signature verification failed" in judged.stdout + judged.stderr


def test_a_key_that_signs_messages_leaves_them_in_the_evidence(tmp_path):
    maker = Maker("raw", Algorithm.ED25519)
    path = put(tmp_path)
    prepared = maker.prepare(path)
    delivered = make(maker, maker.sign(prepared), path)
    assert load_evidence(delivered.evidence).messages == prepared.messages
    verify_file(path, None, maker.trust(), FORMATS)


def test_each_image_of_a_request_gets_its_own_evidence(tmp_path, raw):
    one, two = put(tmp_path), put(tmp_path, b"the other" * 99, "other.bin")
    dossier = raw.sign(raw.prepare(one), raw.prepare(two))
    for path in (one, two):
        make(raw, dossier, path)
        verify_file(path, None, raw.trust(), FORMATS)
    with pytest.raises(VerificationError, match="patch is for another image"):
        verify_file(two, tmp_path / "router.bin.sealwright", raw.trust(), FORMATS)


def test_what_was_prepared_for_the_request_is_used_again(tmp_path, raw):
    path = put(tmp_path)
    prepared = raw.prepare(path)
    dossier = raw.sign(prepared)
    with FileSource(path) as source:
        assert assemble(dossier, path.name, source, FORMATS, prepared=prepared) == assemble(
            dossier, path.name, source, FORMATS
        )
        (tmp_path / "other").mkdir()
        other = raw.prepare(put(tmp_path / "other", b"x"))
        with pytest.raises(VerificationError, match=r"this file is not artifact router\.bin"):
            assemble(dossier, path.name, source, FORMATS, prepared=other)


def swapped(dossier: Dossier) -> Dossier:
    return replace(dossier, signatures=dossier.signatures[::-1])


def cut(dossier: Dossier) -> Dossier:
    return replace(dossier, signatures=dossier.signatures[:-1])


def flipped(dossier: Dossier) -> Dossier:
    first = dossier.signatures[0]
    return replace(dossier, signatures=(first[:-1] + bytes([first[-1] ^ 1]), *dossier.signatures[1:]))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (swapped, r"slot signature of router\.bin: ecdsa-p256-sha256 signature does not verify"),
        (flipped, r"slot signature of router\.bin: ecdsa-p256-sha256 signature does not verify"),
        (cut, "signatures in the dossier: expected 2, got 1"),
    ],
)
def test_a_signature_that_is_wrong_is_not_put_into_an_image(tmp_path, raw, spoil, said):
    path, other = put(tmp_path), put(tmp_path, b"the other", "other.bin")
    dossier = raw.sign(raw.prepare(path), raw.prepare(other))
    with FileSource(path) as source, pytest.raises(VerificationError, match=said):
        assemble(spoil(dossier), path.name, source, FORMATS)


def test_a_dossier_without_the_key_is_refused(tmp_path, raw):
    path = put(tmp_path)
    prepared = raw.prepare(path)
    dossier = raw.sign(prepared)
    bare = replace(dossier, sections=tuple(s for s in dossier.sections if b'"public_key"' not in s.document))
    with FileSource(path) as source:
        with pytest.raises(VerificationError, match="the dossier lacks key profile gateway/production/1"):
            assemble(bare, path.name, source, FORMATS, prepared=prepared)
        with pytest.raises(VerificationError, match="which the policy does not have"):
            assemble(bare, path.name, source, FORMATS)


def test_a_dossier_that_proves_nothing_leaves_no_file(tmp_path, raw):
    path = put(tmp_path)
    dossier = raw.sign(raw.prepare(path))
    outcome = replace(dossier, outcome_index=dossier.outcome_index - 1)
    with pytest.raises(SealwrightError):
        make(raw, outcome, path, tmp_path / "out.bin")
    stranger = Maker()
    with FileSource(path) as source:
        evidence = assemble(dossier, path.name, source, FORMATS)
        with pytest.raises(VerificationError, match="evidence of another installation"):
            deliver(evidence, source, tmp_path / "out.bin", stranger.trust(), FORMATS)
    assert names(tmp_path) == ["router.bin"]


def test_a_distrusted_key_leaves_no_file(tmp_path, raw):
    path = put(tmp_path)
    dossier = raw.sign(raw.prepare(path))
    with FileSource(path) as source:
        evidence = assemble(dossier, path.name, source, FORMATS)
        trust = raw.trust(distrusted=(PublicKey(raw.profile.public_key).fingerprint,))
        with pytest.raises(VerificationError, match="is distrusted by the trust file"):
            deliver(evidence, source, None, trust, FORMATS)
    assert names(tmp_path) == ["router.bin"]


def test_an_image_that_changes_meanwhile_leaves_no_file(tmp_path, raw):
    path = put(tmp_path)
    dossier = raw.sign(raw.prepare(path))
    source = FileSource(path)
    evidence = assemble(dossier, path.name, source, FORMATS)
    path.write_bytes(IMAGE + b"!")
    with pytest.raises(FormatError, match="changed while it was read"), source:
        deliver(evidence, source, tmp_path / "out.bin", raw.trust(), FORMATS)
    assert names(tmp_path) == ["router.bin"]


def test_files_that_exist_are_kept_unless_asked(tmp_path, raw):
    path = put(tmp_path)
    dossier = raw.sign(raw.prepare(path))
    (tmp_path / "router.bin.p7s").write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match=r"router\.bin\.p7s exists already"):
        make(raw, dossier, path)
    assert (tmp_path / "router.bin.p7s").read_bytes() == b"precious"
    make(raw, dossier, path, replace=True)
    verify_file(path, None, raw.trust(), FORMATS)


def test_an_exchanged_sidecar_is_found_and_a_missing_one_is_told(tmp_path, raw):
    path = put(tmp_path)
    delivered = make(raw, raw.sign(raw.prepare(path)), path)
    (sidecar,) = delivered.sidecars
    content = sidecar.read_bytes()
    sidecar.write_bytes(flips.flipped(content, len(content) - 1))
    with pytest.raises(VerificationError, match=r"router\.bin\.p7s is not the file that the evidence proves"):
        verify_file(path, None, raw.trust(), FORMATS)
    sidecar.unlink()
    notes = verify_file(path, None, raw.trust(), FORMATS).notes
    assert notes == ("router.bin.p7s is not beside the image; the evidence holds a copy",)
    (tmp_path / "kept").write_bytes(content)
    sidecar.symlink_to("kept")
    with pytest.raises(FormatError, match="is a symbolic link"):
        verify_file(path, None, raw.trust(), FORMATS)


def prepared_evidence(maker: Maker, path: Path) -> tuple[PreparedArtifact, Evidence]:
    prepared = maker.prepare(path)
    dossier = maker.sign(prepared)
    return prepared, assemble(dossier, path.name, MemorySource(path.read_bytes()), FORMATS)


def test_a_patch_that_the_format_would_not_make_is_found_on_a_second_look(tmp_path, raw):
    path = put(tmp_path)
    _, evidence = prepared_evidence(raw, path)
    (sidecar,) = evidence.patch.sidecars
    _, foreign = prepared_evidence(raw, put(tmp_path, b"other", "other.bin"))
    wrong = replace(evidence.patch, sidecars=(Sidecar(suffix=".p7s", content=foreign.patch.sidecars[0].content),))
    data = records.serialise(replace(evidence, patch=wrong))
    image = MemorySource(IMAGE)
    with pytest.raises(VerificationError) as caught:
        verify_written(data, image, {".p7s": wrong.sidecars[0].content}, raw.trust(), FORMATS)
    assert caught.value.code is Code.IMAGE_MISMATCH
    with pytest.raises(VerificationError, match="files beside the image are not those of the evidence"):
        verify_written(records.serialise(evidence), image, {}, raw.trust(), FORMATS)
    verify_written(records.serialise(evidence), image, {".p7s": sidecar.content}, raw.trust(), FORMATS)


def test_the_formats_that_leave_the_image_as_it_is_are_known_before_anything_is_signed():
    beside = set()
    for name, module in FORMATS.items():
        source = inspect.getsource(module)
        if "Sidecar(" in source or "memory_signing" in source:
            beside.add(name)
    assert beside == delivery.SIGNED_BESIDE
