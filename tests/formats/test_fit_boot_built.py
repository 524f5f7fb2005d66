"""U-Boot built from Debian's source package: RSA-PSS on arm64, and riscv64, where Debian's own verifies nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.formats.fits import (
    Recipe,
    anchor,
    devicetree,
    kernel,
    riscv_parts,
    sign,
    with_other_kernel,
)
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import uboot
from tests.verifiers.uboot import PSS_ARM64, STOCK_ARM64, STOCK_RISCV64, VERIFYING_RISCV64, Machine

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import fit
from sealwright.formats.fit_contents import load
from sealwright.formats.interface import TargetProfile
from sealwright.formats.targets import (
    UBOOT_PSS_QEMU_ARM64,
    UBOOT_QEMU_ARM64,
    UBOOT_QEMU_RISCV64,
    UBOOT_VERIFYING_QEMU_RISCV64,
)

pytestmark = pytest.mark.slow  # the first to ask for a build waits for it

REQUIRED = "Failed to verify required signature 'key-dev'"
RSA = signer(Algorithm.RSA_PKCS1_SHA256, "dev")
PSS = signer(Algorithm.RSA_PSS_SHA256, "dev")


def riscv_recipe() -> Recipe:
    """A kernel, its devicetree, and OpenSBI."""
    names = {"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"], "firmware": ["opensbi"]}}
    return Recipe(parts=riscv_parts(), configurations=names)


@dataclass(frozen=True)
class Case:
    """A machine, what it boots, and a key that it can verify with."""

    machine: Machine
    recipe: Callable[[], Recipe]
    by: Signer
    target: TargetProfile

    def sign(self, image: bytes, by: Signer | None = None) -> bytes:
        return sign(image, by or self.by, target=self.target)

    def boot(self, image: bytes) -> uboot.Boot:
        return uboot.boot(image, anchor(self.by, self.machine), machine=self.machine)


CASES = {
    "arm64 PSS": Case(PSS_ARM64, Recipe, PSS, UBOOT_PSS_QEMU_ARM64),
    "riscv64 PKCS#1": Case(VERIFYING_RISCV64, riscv_recipe, RSA, UBOOT_VERIFYING_QEMU_RISCV64),
    "riscv64 PSS": Case(VERIFYING_RISCV64, riscv_recipe, PSS, UBOOT_VERIFYING_QEMU_RISCV64),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def unsigned(case: Case, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return case.recipe().build(tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def signed(case: Case, unsigned: bytes) -> bytes:
    return case.sign(unsigned)


def test_uboot_boots_what_we_sign(case: Case, signed: bytes) -> None:
    boot = case.boot(signed)
    assert "sha256,rsa2048:dev+ OK" in boot.console
    assert boot.kernel_ran
    assert fit.verify(MemorySource(signed), case.by.trust, {}).keys == (case.by.public_key,)


def test_uboot_refuses_the_unsigned_image(case: Case, unsigned: bytes) -> None:
    boot = case.boot(unsigned)
    assert "No 'signature' subnode found" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_stranger_who_uses_the_same_key_name(case: Case, unsigned: bytes) -> None:
    boot = case.boot(case.sign(unsigned, signer(case.by.algorithm, "stranger")))
    assert "Verification failed for '<NULL>' hash node in 'conf-1' config node" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_flipped_payload(case: Case, signed: bytes) -> None:
    at = load(MemorySource(signed)).images["kernel-1"].data.start + 0x800
    boot = case.boot(flipped(signed, at))
    assert "sha256,rsa2048:dev+ OK" in boot.console
    assert "Bad hash value for 'hash-1' hash node in 'kernel-1' image node" in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_flipped_payload_whose_hash_was_recomputed(case: Case, signed: bytes) -> None:
    boot = case.boot(with_other_kernel(signed))
    assert "Verification failed for '<NULL>' hash node in 'conf-1' config node" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [(Algorithm.RSA_PSS_SHA256, 3072), (Algorithm.RSA_PSS_SHA384, 4096), (Algorithm.RSA_PSS_SHA512, 2048)],
)
def test_uboot_boots_pss_of_other_sizes_and_hashes(tmp_path: Path, algorithm: Algorithm, bits: int) -> None:
    by = signer(algorithm, "dev", bits)
    image = sign(Recipe().build(tmp_path), by, target=UBOOT_PSS_QEMU_ARM64)
    boot = uboot.boot(image, anchor(by), machine=PSS_ARM64)
    assert f"{algorithm.hash_name},rsa{bits}:dev+ OK" in boot.console
    assert boot.kernel_ran
    assert REQUIRED in uboot.boot(image, anchor(PSS), machine=PSS_ARM64).console


def test_stock_uboot_knows_no_pss_and_its_profile_refuses_it(tmp_path: Path) -> None:
    image = Recipe(parts=(kernel(), devicetree())).build(tmp_path)
    boot = uboot.boot(sign(image, PSS), anchor(PSS), machine=STOCK_ARM64)
    assert "Unknown signature algorithm" in boot.console
    assert not boot.kernel_ran
    with pytest.raises(FormatError, match="cannot verify rsa-pss-sha256") as refused:
        sign(image, PSS, target=UBOOT_QEMU_ARM64)
    assert refused.value.code is Code.TARGET_CANNOT_VERIFY


def test_stock_riscv64_uboot_boots_anything_and_its_profile_refuses_every_key(tmp_path: Path) -> None:
    """The known fail-open: built without FIT_SIGNATURE it does not look for the key in its control devicetree."""
    image = riscv_recipe().build(tmp_path)
    assert uboot.boot(image, anchor(RSA, STOCK_RISCV64), machine=STOCK_RISCV64).kernel_ran
    for by in (RSA, PSS):
        with pytest.raises(FormatError, match=r"u-boot-2023\.01-qemu-riscv64 cannot verify") as refused:
            sign(image, by, target=UBOOT_QEMU_RISCV64)
        assert refused.value.code is Code.TARGET_CANNOT_VERIFY
        assert refused.value.hint == "it accepts: nothing"


def test_opensbi_is_covered_as_an_image_of_the_chain(tmp_path: Path) -> None:
    """OpenSBI verifies nothing itself; in a FIT its hash is under the signature.  ``iminfo`` reads all payloads."""
    case = CASES["riscv64 PKCS#1"]
    signed = case.sign(riscv_recipe().build(tmp_path))
    facts = fit.inspect(MemorySource(signed)).facts
    shown = [facts[f"image opensbi {name}"] for name in ("type", "arch", "os", "covered")]
    assert shown[:3] == ["firmware", "riscv", "opensbi"]
    assert shown[3].startswith("through the hash")
    control = anchor(case.by, case.machine)
    look = f"iminfo {case.machine.load_address:#x}"
    assert "Bad hash" not in uboot.boot(signed, control, look, case.machine).console
    at = load(MemorySource(signed)).images["opensbi"].data.start
    said = uboot.boot(flipped(signed, at), control, look, case.machine).console
    assert "Bad hash value for 'hash-1' hash node in 'opensbi' image node" in said
