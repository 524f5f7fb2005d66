"""A FIT with 1 GiB of external data is signed and verified as a stream."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa, utils
from tests.formats.fits import DEV, Part, Recipe, devicetree, kernel, replaced, sign

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import hash_of, rsa_padding
from sealwright.formats import fit
from sealwright.formats.targets import ANY

GIB = 1 << 30
MIB = 1 << 20
LIMIT_BYTES = 150 * MIB

RUN = """
import json, os, re, sys
from sealwright.core.images import check_inside
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.patches import PatchedSource
from sealwright.formats import fit
from sealwright.formats.interface import SigningKey, Trust
from sealwright.formats.targets import ANY

class File:
    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size
    def read(self, offset, length):
        check_inside(self, offset, length)
        return os.pread(self.descriptor, length, offset)

path, spki = sys.argv[1], bytes.fromhex(sys.argv[2])
image, key = File(path), PublicKey(spki)
signing = SigningKey(profile="test/firmware", public_key=key, algorithm=Algorithm.RSA_PKCS1_SHA256)
prepared = fit.prepare(image, [signing], {"key_name": "dev"}, ANY)
print(json.dumps({"digest": prepared.slots[0].digest.hex()}), flush=True)
patch = prepared.assemble({prepared.slots[0].name: bytes.fromhex(sys.stdin.readline())})
verified = fit.verify(PatchedSource(image, patch), Trust(keys=(key,)), {})
fit.inspect(PatchedSource(image, patch))
written = sum(len(chunk) for chunk in patch.apply(image))
# Not ru_maxrss: Linux lets a child begin with the peak of the process that started it.
memory = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps({"keys": len(verified.keys), "written": written, "memory": memory}))
"""


def large_fit(folder: Path) -> Path:
    """Build a FIT around four bytes, then say that they are a sparse gibibyte."""
    parts = (kernel(), devicetree(), Part(name="ramdisk-1", kind="ramdisk", data=bytes(4)))
    names = {"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"], "ramdisk": ["ramdisk-1"]}}
    image = Recipe(parts=parts, configurations=names, mkimage=("-E",)).build(folder)
    image = replaced(image, "/images/ramdisk-1", "data-size", GIB.to_bytes(4, "big"))
    image = replaced(image, "/images/ramdisk-1/hash-1", "value", zeros_digest(GIB))
    path = folder / "large.itb"
    path.write_bytes(image)
    with path.open("r+b") as file:
        file.truncate(len(image) - 4 + GIB)
    return path


def zeros_digest(size: int) -> bytes:
    state, chunk = hashlib.sha256(), bytes(MIB)
    for _ in range(size // MIB):
        state.update(chunk)
    return state.digest()


@pytest.mark.slow
def test_a_gibibyte_of_external_data_streams(tmp_path: Path) -> None:
    path = large_fit(tmp_path)
    command = [sys.executable, "-c", RUN, str(path), DEV.public_key.spki_der.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert isinstance(DEV.key, rsa.RSAPrivateKey)
        digest = bytes.fromhex(json.loads(child.stdout.readline())["digest"])
        child.stdin.write(
            DEV.key.sign(digest, rsa_padding(DEV.algorithm), utils.Prehashed(hash_of(DEV.algorithm))).hex() + "\n"
        )
        child.stdin.close()
        result = json.loads(child.stdout.read())
    assert child.returncode == 0
    assert result["keys"] == 1
    assert result["written"] > GIB
    assert result["memory"] < LIMIT_BYTES


def test_embedded_data_stream_too(tmp_path: Path) -> None:
    """48 MiB inside the tree: located, hashed in chunks, never loaded at once."""
    parts = (kernel(), devicetree(), Part(name="ramdisk-1", kind="ramdisk", data=bytes(48 * MIB)))
    names = {"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"], "ramdisk": ["ramdisk-1"]}}
    image = Recipe(parts=parts, configurations=names).build(tmp_path)

    class Watched(MemorySource):
        largest = 0

        def read(self, offset: int, length: int) -> bytes:
            Watched.largest = max(Watched.largest, length)
            return super().read(offset, length)

    fit.prepare(Watched(image), [DEV.signing_key()], {"key_name": "dev"}, ANY)
    assert Watched.largest <= MIB
    assert fit.verify(Watched(sign(image)), DEV.trust, {}).keys == (DEV.public_key,)
    assert Watched.largest <= MIB


def test_a_tree_that_claims_a_gibibyte_of_data_it_has_not_is_refused(tmp_path: Path) -> None:
    image = Recipe(mkimage=("-E",)).build(tmp_path)
    with pytest.raises(FormatError, match="the file at"):
        sign(replaced(image, "/images/kernel-1", "data-size", GIB.to_bytes(4, "big")))
