"""FIT images for tests: devicetree source written here, built by mkimage, signed by a throw-away key."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.formats.throwaway import Signer, signer
from tests.verifiers import uboot

from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Edit, Patch
from sealwright.formats import fdt, fit
from sealwright.formats.fit_key_node import with_key_node
from sealwright.formats.interface import TargetProfile
from sealwright.formats.targets import ANY

LOADS = {"kernel": 0x44000000, "ramdisk": 0x4A000000, "loadables": 0x4C000000}
TYPES = {"kernel": "kernel", "fdt": "flat_dt", "ramdisk": "ramdisk", "loadables": "firmware", "firmware": "firmware"}
BASES = {"arm64": 0, "riscv": 0x40000000}
"""Where memory begins, beyond where it begins on arm64."""
DEV = signer(Algorithm.RSA_PKCS1_SHA256, "dev")
STRANGER = signer(Algorithm.RSA_PKCS1_SHA256, "stranger")


@dataclass(frozen=True, kw_only=True)
class Part:
    """An image node of a FIT."""

    name: str
    kind: str
    data: bytes
    hashes: tuple[str, ...] = ("sha256",)
    more: str = ""
    arch: str = "arm64"
    os: str = "linux"

    def source(self) -> str:
        load = f"load = <{LOADS[self.kind] + BASES[self.arch]:#x}>; " if self.kind in LOADS else ""
        load += f"entry = <{LOADS[self.kind] + BASES[self.arch]:#x}>;" if self.kind == "kernel" else ""
        hashes = "".join(f'hash-{n} {{ algo = "{name}"; }}; ' for n, name in enumerate(self.hashes, 1))
        return f"""{self.name} {{
            description = "{self.name}"; data = /incbin/("{self.name}.bin"); type = "{TYPES[self.kind]}";
            arch = "{self.arch}"; os = "{self.os}"; compression = "none"; {load} {self.more} {hashes}
        }};"""


def kernel(name: str = "kernel-1", **more: Any) -> Part:
    return Part(name=name, kind="kernel", data=uboot.marker_kernel(), **more)


def devicetree(name: str = "fdt-1", **more: Any) -> Part:
    return Part(name=name, kind="fdt", data=uboot.small_dtb(), **more)


def riscv_parts() -> tuple[Part, ...]:
    """Kernel and devicetree for riscv64, and OpenSBI, which verifies nothing itself, as an image of the chain."""
    machine = uboot.VERIFYING_RISCV64
    return (
        Part(name="kernel-1", kind="kernel", data=uboot.marker_kernel_riscv64(), arch="riscv"),
        Part(name="fdt-1", kind="fdt", data=uboot.small_dtb(machine), arch="riscv"),
        Part(name="opensbi", kind="firmware", data=uboot.OPENSBI.read_bytes(), arch="riscv", os="opensbi"),
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a FIT is built from."""

    parts: Sequence[Part] = field(default_factory=lambda: (kernel(), devicetree()))
    configurations: Mapping[str, Mapping[str, Sequence[str]]] = field(
        default_factory=lambda: {"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]}}
    )
    default: str = "conf-1"
    template: str = ""
    """Devicetree source of signature nodes, put into every configuration."""
    mkimage: tuple[str, ...] = ()
    configurations_first: bool = False

    def build(self, folder: Path) -> bytes:
        return uboot.mkimage(self.source(folder), folder, *self.mkimage)

    def source(self, folder: Path) -> str:
        """Write the data into ``folder`` and return the devicetree source that includes them."""
        for part in self.parts:
            (folder / f"{part.name}.bin").write_bytes(part.data)
        images = "\n".join(part.source() for part in self.parts)
        configurations = "\n".join(
            f"{name} {{ {self._references(references)} {self.template} }};"
            for name, references in self.configurations.items()
        )
        sections = [f"images {{ {images} }};", f'configurations {{ default = "{self.default}"; {configurations} }};']
        if self.configurations_first:
            sections.reverse()
        return f'/dts-v1/; / {{ description = "test"; #address-cells = <1>; {" ".join(sections)} }};'

    @staticmethod
    def _references(references: Mapping[str, Sequence[str]]) -> str:
        return "".join(f"{name} = {quoted(images)}; " for name, images in references.items())


def quoted(texts: Iterable[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


def template(algo: str = "sha256,rsa2048", key_name: str = "dev", images: Iterable[str] = ("kernel", "fdt")) -> str:
    return f'signature-1 {{ algo = "{algo}"; key-name-hint = "{key_name}"; sign-images = {quoted(images)}; }};'


def sign(image: bytes, by: Signer = DEV, target: TargetProfile = ANY, **options: Any) -> bytes:
    """Sign with our format; the key is named ``dev`` unless said otherwise."""
    source = MemorySource(image)
    prepared = fit.prepare(source, [by.signing_key()], {"key_name": "dev"} | options, target)
    return b"".join(prepared.assemble(by.sign_all(prepared)).apply(source))


def anchor(by: Signer = DEV, machine: uboot.Machine = uboot.STOCK_ARM64) -> bytes:
    """Return the control devicetree that makes U-Boot demand a signature by this key, named ``dev``."""
    return with_key_node(uboot.control_dtb(machine), by.public_key, by.algorithm, "dev")


def key_folder(folder: Path, by: Signer = DEV) -> Path:
    """Write a throw-away key as ``dev`` where mkimage looks for it."""
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    by.private_file(keys).rename(keys / "dev.key")
    by.anchor(keys).rename(keys / "dev.crt")
    return keys


def node_of(image: bytes, path: str) -> fdt.Node:
    node = fdt.parse(MemorySource(image)).root
    for name in path.strip("/").split("/"):
        node = node.children[name]
    return node


def property_of(image: bytes, path: str, name: str) -> bytes:
    tree = fdt.parse(MemorySource(image))
    return tree.value(node_of(image, path).properties[name])


def replaced(image: bytes, path: str, name: str, value: bytes) -> bytes:
    """Overwrite a property by a value of the same length."""
    item = node_of(image, path).properties[name]
    assert item.size == len(value)
    return image[: item.value.start] + value + image[item.value.stop :]


def with_other_kernel(signed: bytes) -> bytes:
    """Swap the kernel for another of the same length and recompute its hash node: only the signature is in the way."""
    data = property_of(signed, "/images/kernel-1", "data").replace(b"RUNNING", b"HIJACKD")
    changed = replaced(signed, "/images/kernel-1", "data", data)
    return replaced(changed, "/images/kernel-1/hash-1", "value", hashlib.sha256(data).digest())


def inserted(image: bytes, *insertions: tuple[int, bytes], cut: Iterable[tuple[int, int]] = ()) -> bytes:
    """Splice tokens into the structure block (and cut some out); header and later blocks follow."""
    header = fdt.parse(MemorySource(image)).header
    edits = [Edit(offset=at, old=b"", new=new) for at, new in insertions]
    edits += [Edit(offset=start, old=image[start:stop], new=b"") for start, stop in cut]
    grown = sum(len(edit.new) - len(edit.old) for edit in edits)
    sizes = {name: getattr(header, name) for name in header.__dataclass_fields__}
    sizes |= {name: sizes[name] + grown for name in ("totalsize", "off_dt_strings", "size_dt_struct")}
    edits.append(Edit(offset=0, old=header.pack(), new=fdt.Header(**sizes).pack()))
    patch = Patch(old_size=len(image), edits=tuple(sorted(edits, key=lambda edit: edit.offset)))
    return b"".join(patch.apply(MemorySource(image)))
