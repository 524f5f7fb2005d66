"""What a key ceremony needs around it: people with keys of ssh-keygen, a script, and a vendor that attests.

All certificates here are TEST ONLY; the attestations have the layout of a YubiHSM 2, which nobody here has.
"""

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.conftest import require_tool

ARC = "1.3.6.1.4.1.41482.4."
SERIAL, FIRMWARE = "123456789", "2.4.1"
SIGN_ECDSA, EXPORTABLE_UNDER_WRAP = 1 << 7, 1 << 16
BEGIN, END = datetime(2017, 1, 1, tzinfo=UTC), datetime(2071, 10, 5, tzinfo=UTC)


def participant(folder: Path, name: str, kind: str = "ed25519") -> Path:
    """Make an SSH key with ssh-keygen."""
    path = folder / name
    subprocess.run(
        [require_tool("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", "TEST ONLY", "-f", str(path)],
        check=True,
        capture_output=True,
    )
    return path


def script(people: dict[str, Path], keys: str, **changes: Any) -> str:
    """Return a script as a person would write it."""
    said: dict[str, Any] = {
        "id": "first-keys", "product": "router", "environment": "production", "grade": "software",
        "signatures": 2, "module": "", "attestation": "",
    } | changes  # fmt: skip
    present = "".join(
        f'\n[[participants]]\nperson = "{name}"\nrole = "custodian"\nkey = "{_line(key)}"\n'
        for name, key in people.items()
    )
    return (
        f'# The first keys of the line.\nformat = 1\nid = "{said["id"]}"\nreason = "First keys of the line"\n'
        f'product = "{said["product"]}"\nenvironment = "{said["environment"]}"\n'
        f'partition = "{said.get("partition", said["product"] + "-" + said["environment"])}"\n'
        f'grade = "{said["grade"]}"\nsignatures = {said["signatures"]}\n{present}{keys}{said["module"]}'
        f"{said['attestation']}"
    )


def key(name: str, algorithm: str = "ecdsa-p256-sha256", backup: str = "never", more: str = "") -> str:
    """Return a key of a script."""
    return f'\n[[keys]]\nname = "{name}"\nalgorithm = "{algorithm}"\nimage_format = "raw"\nbackup = "{backup}"\n{more}'


def module(token_serial: str = "", serial: str = SERIAL) -> str:
    """Return a module's data."""
    token = f'token_serial = "{token_serial}"\n' if token_serial else ""
    return (
        f'\n[module]\nvendor = "TEST ONLY"\nmodel = "Softly kept"\nserial = "{serial}"\n'
        f'firmware = "{FIRMWARE}"\n{token}'
        '\n[[module.certifications]]\nstandard = "FIPS 140-3"\ncertificate = "4700"\nstatus = "active"\n'
        'checked = "2026-11-02"\nlevel = 3\n'
        '\n[[module.certifications]]\nstandard = "Common Criteria"\ncertificate = "ANSSI-CC-2026/01"\n'
        'status = "active"\nchecked = "2026-11-02"\nassurance = "EAL4+"\nprofile = "EN 419221-5"\n'
    )


@dataclass
class Vendor:
    """A root, an authority below it and one device, which attests keys."""

    name: str = "TEST ONLY vendor"
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    certificates: dict[str, x509.Certificate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for who, by in (("root", "root"), ("authority", "root"), ("device", "authority")):
            self.keys[who] = ec.generate_private_key(ec.SECP256R1())
            builder = self._builder(f"{self.name} {who}", f"{self.name} {by}", self.keys[who].public_key())
            length = 0 if who == "device" else None
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
            if who == "device":
                builder = self._extended(builder, {n: v for n, v in self.members().items() if n in ("1", "2")})
            self.certificates[who] = builder.sign(self.keys[by], hashes.SHA256())

    @property
    def root_pem(self) -> str:
        return self.certificates["root"].public_bytes(serialization.Encoding.PEM).decode()

    def rule(self) -> str:
        """Return the part of a script that names this vendor."""
        return f'\n[attestation]\nkind = "yubihsm-2"\nroots = """\n{self.root_pem}"""\n'

    def attest(self, spki_der: bytes, *, signer: Any = None, issuer: str = "", **changes: Any) -> x509.Certificate:
        """Attest a key as its device does; ``changes`` are members by number, None leaves one out."""
        public: Any = serialization.load_der_public_key(spki_der)
        builder = self._builder("YubiHSM Attestation id:0x0007", issuer or f"{self.name} device", public)
        builder = self._extended(builder, self.members(**changes))
        return builder.sign(signer or self.keys["device"], hashes.SHA256())

    def chain(self, leaf: x509.Certificate) -> tuple[bytes, ...]:
        """Return the certificates from a key up to below the root."""
        chain = (leaf, self.certificates["device"], self.certificates["authority"])
        return tuple(certificate.public_bytes(serialization.Encoding.DER) for certificate in chain)

    def pem(self, leaf: x509.Certificate) -> str:
        """Return the same as a file."""
        chain = (leaf, self.certificates["device"], self.certificates["authority"])
        return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in chain)

    @staticmethod
    def members(**changes: Any) -> dict[str, bytes | None]:
        """Return the extensions, encoded as devices encode them."""
        said: dict[str, Any] = {
            "serial": int(SERIAL), "firmware": FIRMWARE, "origin": 1, "capabilities": SIGN_ECDSA,
            "object_id": 7, "label": "TEST ONLY",
        } | changes  # fmt: skip
        firmware = bytes(int(part) for part in said["firmware"].split("."))
        encoded = {
            "1": core.OctetString(firmware),
            "2": core.Integer(said["serial"]),
            "3": None if said["origin"] is None else core.OctetBitString(bytes([said["origin"]])),
            "4": core.OctetBitString(b"\x00\x01"),
            "5": None if said["capabilities"] is None else core.OctetBitString(said["capabilities"].to_bytes(8)),
            "6": core.Integer(said["object_id"]),
            "9": core.UTF8String(said["label"]),
        }
        return {number: None if value is None else value.dump() for number, value in encoded.items()}

    @staticmethod
    def _extended(builder: x509.CertificateBuilder, members: dict[str, bytes | None]) -> x509.CertificateBuilder:
        for number, value in members.items():
            if value is not None:
                oid = x509.ObjectIdentifier(ARC + number)
                builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder

    @staticmethod
    def _builder(subject: str, issuer: str, public: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(END)
        )


def _line(key: Path) -> str:
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])
