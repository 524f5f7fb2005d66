"""riscv64 from the first stage on: U-Boot's SPL verifies OpenSBI and U-Boot, that U-Boot verifies the kernel."""

from pathlib import Path

import pytest
from tests.formats.fits import DEV, STRANGER, Recipe, anchor, replaced, riscv_parts, sign
from tests.formats.flips import flipped
from tests.verifiers import uboot
from tests.verifiers.uboot_build import Build, built

from sealwright.core.images import MemorySource
from sealwright.formats import fit
from sealwright.formats.fit_contents import load
from sealwright.formats.targets import UBOOT_VERIFYING_QEMU_RISCV64

pytestmark = pytest.mark.slow

REQUIRED = "Failed to verify required signature 'key-dev'"
UBOOT_RUNS = "U-Boot 2023.01"
CHAIN = """/dts-v1/; / {
    description = "OpenSBI and U-Boot"; #address-cells = <1>;
    images {
        uboot {
            description = "U-Boot"; type = "standalone"; os = "u-boot"; arch = "riscv"; compression = "none";
            load = <0x81200000>; data = /incbin/("uboot.bin"); hash-1 { algo = "sha256"; };
        };
        opensbi {
            description = "OpenSBI"; type = "firmware"; os = "opensbi"; arch = "riscv"; compression = "none";
            load = <0x80100000>; entry = <0x80100000>; data = /incbin/("opensbi.bin"); hash-1 { algo = "sha256"; };
        };
    };
    configurations {
        default = "conf-1"; conf-1 { description = "chain"; firmware = "opensbi"; loadables = "uboot"; };
    };
};"""  # as U-Boot's arch/riscv/dts/binman.dtsi makes it


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """OpenSBI and U-Boot, unsigned, their data outside the tree."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "opensbi.bin").write_bytes(uboot.OPENSBI.read_bytes())
    second_stage = built(Build.RISCV64_SPL).parent.parent / "u-boot-nodtb.bin"
    (folder / "uboot.bin").write_bytes(second_stage.read_bytes())
    return uboot.mkimage(CHAIN, folder, "-E")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A signed kernel for the U-Boot of the chain."""
    parts = riscv_parts()[:2]
    return sign(Recipe(parts=parts).build(tmp_path_factory.mktemp("kernel")))


def control() -> bytes:
    return anchor(DEV, uboot.VERIFYING_RISCV64)


def test_the_chain_boots_from_the_first_stage_to_the_kernel(chain: bytes, kernel: bytes) -> None:
    signed = sign(chain, target=UBOOT_VERIFYING_QEMU_RISCV64)
    console = uboot.boot_chain(signed, kernel, control()).console
    for line in (
        "config conf-1 ... sha256,rsa2048:dev+ OK",
        "Image opensbi ... sha256+ OK",
        "Image uboot ... sha256+ OK",
        UBOOT_RUNS,
        uboot.MARKER,
    ):
        assert line in console
    assert fit.verify(MemorySource(signed), DEV.trust, {}).keys == (DEV.public_key,)


def test_the_first_stage_refuses_an_unsigned_chain_and_a_strangers(chain: bytes, kernel: bytes) -> None:
    for image, reason in ((chain, "No 'signature' subnode found"), (sign(chain, STRANGER), "Verification failed")):
        console = uboot.boot_chain(image, kernel, control()).console
        assert reason in console
        assert "hash node in 'conf-1' config node" in console
        assert REQUIRED in console
        assert UBOOT_RUNS not in console.replace("U-Boot SPL", "")


@pytest.mark.parametrize("image", ["opensbi", "uboot"])
def test_the_first_stage_refuses_a_flipped_image_of_the_chain(chain: bytes, kernel: bytes, image: str) -> None:
    signed = sign(chain)
    at = load(MemorySource(signed)).images[image].data.start + 0x100
    console = uboot.boot_chain(flipped(signed, at), kernel, control()).console
    assert "config conf-1 ... sha256,rsa2048:dev+ OK" in console
    assert f"Bad hash value for 'hash-1' hash node in '{image}' image node" in console
    assert UBOOT_RUNS not in console


def test_the_first_stage_refuses_another_address_for_opensbi(chain: bytes, kernel: bytes) -> None:
    moved = replaced(sign(chain), "/images/opensbi", "entry", (0x80100004).to_bytes(4, "big"))
    assert REQUIRED in uboot.boot_chain(moved, kernel, control()).console


def test_the_second_stage_refuses_an_unsigned_kernel(chain: bytes, tmp_path: Path) -> None:
    unsigned = Recipe(parts=riscv_parts()[:2]).build(tmp_path)
    boot = uboot.boot_chain(sign(chain), unsigned, control())
    assert UBOOT_RUNS in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran
