"""A PE of 1 GiB is hashed, summed, signed and verified in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from tests.formats.efi_images import RSA, image
from tests.formats.throwaway import signer
from tests.verifiers import osslsigncode

GIB = 1 << 30
BUDGET_BYTES = 8 << 20
RESIDENT_KIB = 100 << 10

# The work runs in a process of its own, whose peak memory is then its alone.  The signature comes from outside.
PROGRAM = """
import os, re, sys, tracemalloc
from sealwright.core.images import check_inside
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import pe, targets
from sealwright.formats.interface import SigningKey, Trust

class File:
    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size
    def read(self, offset, length):
        check_inside(self, offset, length)
        return os.pread(self.descriptor, length, offset)

path, out, certificate = sys.argv[1:]
certificate = open(certificate, "rb").read()
spki = bytes.fromhex(sys.stdin.readline())
algorithm = Algorithm.RSA_PKCS1_SHA256
key = SigningKey(profile="p", public_key=PublicKey(spki), algorithm=algorithm, certificates=(certificate,))
source = File(path)
tracemalloc.start()
prepared = pe.prepare(source, [key], {}, targets.ANY)
print(prepared.slots[0].digest.hex(), flush=True)
patch = prepared.assemble({"signature": bytes.fromhex(sys.stdin.readline())})
with open(out, "wb") as file:
    for chunk in patch.apply(source):
        if chunk.count(0) == len(chunk):
            file.seek(len(chunk), os.SEEK_CUR)
        else:
            file.write(chunk)
pe.verify(File(out), Trust(keys=(key.public_key,)), {})
pe.inspect(File(out))
# Not ru_maxrss: Linux lets a child begin with the peak of the process that started it.
resident = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(tracemalloc.get_traced_memory()[1], resident[1], flush=True)
"""


@pytest.mark.slow
def test_a_gibibyte_takes_a_few_mebibytes_and_osslsigncode_accepts_it(tmp_path: Path) -> None:
    path, out, who = tmp_path / "large.efi", tmp_path / "signed.efi", signer(RSA)
    path.write_bytes(image())
    with path.open("r+b") as file:
        file.truncate(GIB - 3)
        file.seek(GIB // 2 + 1)
        file.write(b"not only zeros")
    (tmp_path / "leaf.der").write_bytes(who.certificate_der)
    command = [sys.executable, "-c", PROGRAM, str(path), str(out), str(tmp_path / "leaf.der")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(who.public_key.spki_der.hex() + "\n")
        process.stdin.flush()
        digest = bytes.fromhex(process.stdout.readline())
        process.stdin.write(signature_of(digest).hex() + "\n")
        process.stdin.flush()
        traced, resident_kib = map(int, process.stdout.readline().split())
    assert process.returncode == 0
    assert traced < BUDGET_BYTES
    assert resident_kib < RESIDENT_KIB
    judged = osslsigncode.verify(out, who.anchor(tmp_path))
    assert judged.returncode == 0, judged.stdout
    assert not osslsigncode.says_checksum_differs(judged.stdout + judged.stderr)


def signature_of(digest: bytes) -> bytes:
    key = signer(RSA).key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
