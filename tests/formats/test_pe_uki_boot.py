"""OVMF with Secure Boot on boots a unified kernel image that we built and signed, and its kernel locks itself down."""

from pathlib import Path

import pytest
from tests.formats import ukis
from tests.formats.efi_images import RSA, sign
from tests.formats.flips import flipped
from tests.formats.throwaway import signer
from tests.verifiers import ovmf, sbverify
from tests.verifiers.ovmf import OWNER

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.formats import pe, pe_layout

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


def test_what_ovmf_and_the_stub_make_of_hidden_sections_is_refused_and_said_by_us(store: Path, tmp_path: Path) -> None:
    """OVMF loads one section over another, and the stub takes ``.initrd2`` for its initrd: sbsign signs both."""
    evil = b"console=ttyS0 panic=-1 evil=1"
    data = ukis.build({**ukis.real_parts(), ".cmdline": ukis.CMDLINE.ljust(len(evil), b"\0")})
    longer = ukis.with_section(data, b".initrd2", ukis.initrd().replace(b"SEALWRIGHT-INITRD", b"SEALWRIGHT-EVIL!!"))
    cmdline = next(s for s in pe_layout.read(MemorySource(data)).sections if s.name == ".cmdline")
    both, signed = tmp_path / "both.efi", tmp_path / "signed.efi"
    both.write_bytes(ukis.with_section(longer, b".rodata", evil, cmdline.virtual_address))
    sbverify.sign(both, MAKER.private_file(tmp_path), MAKER.anchor(tmp_path), signed)
    boot = ovmf.boot(signed.read_bytes(), store)
    assert f"SEALWRIGHT-EVIL!! cmdline: {evil.decode()}" in boot.console
    with pytest.raises(FormatError, match=r"section \.rodata is loaded to .* over section \.cmdline"):
        sign(both.read_bytes(), MAKER)
    with pytest.raises(FormatError, match=r"section \.initrd2 would be taken for \.initrd"):
        sign(longer, MAKER)
    said = pe.inspect(MemorySource(longer)).facts["Unified kernel image"]
    assert said.startswith("not read: section .initrd2 would be taken for .initrd")
