"""OVMF with Secure Boot on boots a unified kernel image that we built and signed, and its kernel locks itself down."""

from pathlib import Path

import pytest
from tests.formats import ukis
from tests.formats.efi_images import RSA, sign
from tests.formats.flips import flipped
from tests.formats.throwaway import signer
from tests.verifiers import ovmf
from tests.verifiers.ovmf import OWNER

pytestmark = pytest.mark.slow

MAKER = signer(RSA, "maker")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    anchor = str(MAKER.anchor(folder))
    return ovmf.variables(
        folder, *(f for o in ("--set-pk", "--add-kek", "--add-db") for f in (o, OWNER, anchor)), "--sb"
    )


def test_ovmf_boots_a_signed_kernel_image_and_the_kernel_is_locked_down(store: Path) -> None:
    boot = ovmf.boot(sign(ukis.build(ukis.real_parts()), MAKER), store)
    assert "secureboot: Secure boot enabled" in boot.console
    assert "Kernel is locked down from EFI Secure Boot" in boot.console
    assert f"{ukis.MARKER} lockdown: none [integrity] confidentiality" in boot.console
    assert f"{ukis.MARKER} cmdline: {ukis.CMDLINE.decode()}" in boot.console
    assert boot.ran


def test_ovmf_refuses_to_boot_a_kernel_image_that_is_stripped_or_flipped(store: Path) -> None:
    unsigned = ukis.build(ukis.real_parts())
    assert ovmf.boot(unsigned, store).is_refused
    signed = sign(unsigned, MAKER)
    at = signed.index(ukis.CMDLINE)
    assert ovmf.boot(flipped(signed, at), store).is_refused
