"""One file signed by our client from end to end, with a key in this process instead of a server.

``python -m benchmarks.file_ours FORMAT IMAGE OUT KEYS`` prints the peak of its memory in MiB.
"""

import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from benchmarks.measuring import peak_mib
from sealwright.client.compose import prepare_artifact
from sealwright.client.files import FileSource, sidecar_path
from sealwright.client.outputs import Outputs
from sealwright.core.keys import Algorithm, hash_of
from sealwright.formats import FORMATS
from sealwright.formats.interface import Slot
from sealwright.policy import documents as d

FIT = {"key_name": "u-boot-fit"}


def sign_file(image_format: str, image: Path, out: Path, keys: Path) -> None:
    """Prepare, sign, assemble, write."""
    now = {"signing_time": int(time.time())}
    options = {"raw": now, "intel-hex": now, "mcuboot": {"version": "1.2.3"}, "u-boot-fit": FIT}.get(image_format, {})
    with FileSource(image) as source, Outputs(replace=True) as outputs:
        profile = key_profile(image_format, keys)
        prepared = prepare_artifact(source, image.name, FORMATS[image_format], [profile], options).prepared
        (slot,) = prepared.slots
        patch = prepared.assemble({slot.name: _sign(slot, keys / f"{image_format}.pem")})
        if patch.edits:
            outputs.write_patched(out, source, patch)
        for sidecar in patch.sidecars:
            outputs.write(sidecar_path(out, sidecar.suffix), [sidecar.content])
        outputs.publish()


def _sign(slot: Slot, path: Path) -> bytes:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    prehashed = utils.Prehashed(hash_of(slot.algorithm))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(slot.digest, padding.PKCS1v15(), prehashed)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(slot.digest, ec.ECDSA(prehashed))


def key_profile(image_format: str, keys: Path) -> d.KeyProfile:
    """Return what a policy would say of the key in ``keys``."""
    certificate = x509.load_pem_x509_certificate((keys / f"{image_format}.crt").read_bytes())
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    is_rsa = image_format in {"uefi-pe", "u-boot-fit"}
    algorithm = Algorithm.RSA_PKCS1_SHA256 if is_rsa else Algorithm.ECDSA_P256_SHA256
    return d.KeyProfile(
        type="key-profile", format=1, salt="00" * 16, id="bench/production/1", product="bench",
        environment=d.Environment.PRODUCTION, purpose=d.Purpose.FIRMWARE, partition="bench-production",
        public_key=certificate.public_key().public_bytes(serialization.Encoding.DER, spki),
        algorithm=algorithm, signs="digest", certificates=(certificate.public_bytes(serialization.Encoding.DER),),
        grade=d.KeyGrade.SOFTWARE, origin="generated", state=d.State.ACTIVE, image_format=image_format,
    )  # fmt: skip


if __name__ == "__main__":
    sign_file(sys.argv[1], *map(Path, sys.argv[2:5]))
    print(peak_mib())
