"""The keys a device requires, all of them or any: we and U-Boot decide alike, from the same control devicetree."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.fits import DEV, STRANGER, Recipe, anchor, inserted, key_folder, node_of, replaced, sign, template
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import fit
from sealwright.formats.fit_control import Required, RequiredMode, anchors_of, verify_for_device
from sealwright.formats.fit_key_node import with_key_node, with_required_mode
from sealwright.formats.targets import ANY

RELEASE = signer(Algorithm.RSA_PKCS1_SHA384, "release", 3072)
ALL, ANY_KEY = RequiredMode.ALL, RequiredMode.ANY


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Recipe().build(tmp_path_factory.mktemp("fit"))


def signed_by(unsigned: bytes, *signers: Signer) -> bytes:
    """Sign with several keys at once; ``dev`` is DEV's name, ``release`` that of any other."""
    profiles = {f"test/{n}": by for n, by in enumerate(signers)}
    keys = [dataclasses.replace(by.signing_key(), profile=profile) for profile, by in profiles.items()]
    names = [name for name, _ in zip(("dev", "release"), signers, strict=False)]
    prepared = fit.prepare(MemorySource(unsigned), keys, {"key_names": names}, ANY)
    values = {slot.name: profiles[slot.key_profile].sign(slot) for slot in prepared.slots}
    return b"".join(prepared.assemble(values).apply(MemorySource(unsigned)))


def two_keys(mode: RequiredMode | None = None) -> bytes:
    control = with_key_node(anchor(), RELEASE.public_key, RELEASE.algorithm, "release")
    return with_required_mode(control, mode) if mode else control


def accepts(image: bytes, control: bytes) -> bool:
    try:
        verify_for_device(MemorySource(image), anchors_of(control))
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize(
    ("mode", "by", "boots"),
    [
        (None, (DEV, RELEASE), True),
        (None, (DEV,), False),
        (ALL, (DEV, RELEASE), True),
        (ALL, (DEV,), False),
        (ALL, (DEV, STRANGER), False),
        (ANY_KEY, (DEV, RELEASE), True),
        (ANY_KEY, (DEV,), True),
        (ANY_KEY, (RELEASE,), True),
        (ANY_KEY, (STRANGER,), False),
        (ANY_KEY, (), False),
    ],
)
def test_uboot_boots_what_verify_for_device_accepts_and_nothing_else(
    unsigned: bytes, mode: RequiredMode | None, by: tuple[Signer, ...], boots: bool
) -> None:
    image = signed_by(unsigned, *by) if by else unsigned
    control = two_keys(mode)
    assert accepts(image, control) is boots
    boot = uboot.boot(image, control)
    assert boot.kernel_ran is boots
    if not boots:
        any_of_them = "Failed to verify 'any' of the required signature(s)"
        assert (any_of_them if mode is ANY_KEY else "Failed to verify required signature 'key-") in boot.console


def test_the_keys_that_all_demand_are_named(unsigned: bytes) -> None:
    image = MemorySource(signed_by(unsigned, DEV, RELEASE))
    assert verify_for_device(image, anchors_of(two_keys())).keys == (DEV.public_key, RELEASE.public_key)
    with pytest.raises(VerificationError, match="'conf-1' lacks the required signature of key 'release'") as refused:
        verify_for_device(MemorySource(signed_by(unsigned, DEV)), anchors_of(two_keys()))
    assert refused.value.code is Code.NOT_TRUSTED


def test_a_control_devicetree_is_read_as_it_was_written() -> None:
    control = with_required_mode(
        with_key_node(anchor(), RELEASE.public_key, RELEASE.algorithm, "images", Required.IMAGE), ANY_KEY
    )
    found = anchors_of(control)
    assert found.mode is ANY_KEY
    assert [(key.name, key.algo, key.key, key.required) for key in found.keys] == [
        ("dev", "sha256,rsa2048", DEV.public_key, Required.CONFIGURATION),
        ("images", "sha384,rsa3072", RELEASE.public_key, Required.IMAGE),
    ]
    assert [key.name for key in found.required] == ["dev"]


def test_a_control_devicetree_that_mkimage_wrote_is_read_too(tmp_path: Path) -> None:
    image = Recipe(template=template()).build(tmp_path)
    signed, control = uboot.mkimage_sign(image, tmp_path, key_folder(tmp_path), uboot.control_dtb())
    assert verify_for_device(MemorySource(signed), anchors_of(control)).keys == (DEV.public_key,)


def test_without_a_required_key_nothing_is_verified_and_nothing_accepted(unsigned: bytes) -> None:
    """U-Boot with such a devicetree boots anything (test_fit_boot says so)."""
    with pytest.raises(VerificationError, match="such a device boots anything") as refused:
        verify_for_device(MemorySource(sign(unsigned)), anchors_of(uboot.control_dtb()))
    assert refused.value.code is Code.NOT_TRUSTED
    with pytest.raises(FormatError, match="required is 'cong'"):
        anchors_of(anchor().replace(b"conf\0", b"cong\0"))


def test_required_image_signatures_are_refused(unsigned: bytes) -> None:
    control = with_key_node(anchor(), RELEASE.public_key, RELEASE.algorithm, "images", Required.IMAGE)
    with pytest.raises(FormatError, match="requires signatures of single images") as refused:
        verify_for_device(MemorySource(sign(unsigned)), anchors_of(control))
    assert refused.value.code is Code.UNSUPPORTED_IMAGE


def test_a_key_of_the_device_signs_with_no_other_hash(unsigned: bytes) -> None:
    """The key node says sha256; U-Boot calls another hash a wrong algorithm."""
    other = dataclasses.replace(DEV, algorithm=Algorithm.RSA_PKCS1_SHA512)
    image = sign(unsigned, other)
    assert fit.verify(MemorySource(image), DEV.trust, {})
    assert not accepts(image, anchor())
    assert not uboot.boot(image, anchor()).kernel_ran


def test_a_flipped_payload_is_refused_for_a_device_too(unsigned: bytes) -> None:
    image = sign(unsigned)
    at = node_of(image, "/images/kernel-1").properties["data"].value.start
    assert accepts(image, anchor())
    assert not accepts(flipped(image, at), anchor())


def test_a_broken_key_node_is_refused() -> None:
    path = "/signature/key-dev"
    for name, value in (
        ("rsa,num-bits", bytes([0, 0, 16, 0])),
        ("rsa,modulus", bytes(256)),
        ("rsa,exponent", bytes(8)),
    ):
        with pytest.raises(FormatError):
            anchors_of(replaced(anchor(), path, name, value))


@pytest.mark.parametrize("name", ["rsa,r-squared", "rsa,n0-inverse"])
def test_numbers_that_uboot_believes_and_that_are_wrong_are_refused_as_it_boots_nothing(
    unsigned: bytes, name: str
) -> None:
    image, control, path = sign(unsigned), anchor(), "/signature/key-dev"
    assert accepts(image, control)
    assert uboot.boot(image, control).kernel_ran
    item = node_of(control, path).properties[name]
    wrong = flipped(control, item.value.start + 2)
    with pytest.raises(FormatError, match=f"{path}: {name} is not that of the modulus: a device with it takes no sig"):
        anchors_of(wrong)
    boot = uboot.boot(image, wrong)
    assert not boot.kernel_ran
    assert "Failed to verify required signature 'key-dev'" in boot.console
    without = control.replace(name.encode() + b"\0", name.upper().encode() + b"\0", 1)
    with pytest.raises(FormatError, match=f"{name} is not that of the modulus"):
        anchors_of(without)


def test_an_even_modulus_is_refused_by_that() -> None:
    control = anchor()
    item = node_of(control, "/signature/key-dev").properties["rsa,modulus"]
    with pytest.raises(FormatError, match="/signature/key-dev is no RSA key: its modulus is even"):
        anchors_of(flipped(control, item.value.stop - 1))


def test_an_exponent_of_another_length_is_refused_since_uboot_reads_another_one() -> None:
    control = anchor()
    item = node_of(control, "/signature/key-dev").properties["rsa,exponent"]
    token = (3).to_bytes(4) + (4).to_bytes(4) + item.name_offset.to_bytes(4) + (65537).to_bytes(4)
    short = inserted(control, (item.start, token), cut=[(item.start, item.stop)])
    with pytest.raises(FormatError, match="rsa,exponent of 4 bytes, 8 expected"):
        anchors_of(short)


@pytest.mark.parametrize("cut", [0, 39, 200, -1])
def test_a_cut_control_devicetree_is_refused(cut: int) -> None:
    with pytest.raises(FormatError):
        anchors_of(anchor()[:cut])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_mutated_control_devicetree_is_read_or_refused_and_never_crashes(data: st.DataObject) -> None:
    control = bytearray(two_keys(ANY_KEY))
    start = node_of(bytes(control), "/signature").start
    changes = data.draw(
        st.dictionaries(st.integers(start, len(control) - 1), st.integers(0, 255), min_size=1, max_size=8)
    )
    for at, value in changes.items():
        control[at] = value
    with contextlib.suppress(FormatError):
        anchors_of(bytes(control))


def test_the_required_mode_is_written_once(tmp_path: Path) -> None:
    control = two_keys(ANY_KEY)
    assert uboot.fdtget(control, tmp_path, "/signature", "required-mode") == "61 6e 79 0"  # any
    assert with_required_mode(control, ANY_KEY) == control
    with pytest.raises(FormatError, match="says required-mode 'any' already"):
        with_required_mode(control, ALL)
    with pytest.raises(FormatError, match="no keys to require"):
        with_required_mode(uboot.control_dtb(), ALL)
