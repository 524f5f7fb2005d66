"""The self-signed certificate as the only trust anchor of three outside verifiers, and never for another key."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.conftest import missing, require_tool
from tests.keystores.conftest import CLASSICAL, TEMPLATE, make_partition, size_of
from tests.simulators.softhsm import SoftHsm
from tests.verifiers import openssl, osslsigncode, sbverify

from sealwright.core.errors import ConfigurationError, VerificationError
from sealwright.core.keys import Algorithm
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.interface import CertificateTemplate

MEMTEST = Path("/boot/memtest86+x64.efi")
RSA = Algorithm.RSA_PKCS1_SHA256


def write_key(folder: Path, algorithm: Algorithm, name: str = "self") -> tuple[Path, Path]:
    """Make a key and its certificate; return both as PEM files."""
    key = private_keys.generate(algorithm, size_of(algorithm))
    public = private_keys.public_half(key)
    der = self_signed(public, algorithm, lambda p: private_keys.sign(key, algorithm, p), TEMPLATE)
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(as_pem(der))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


def as_pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if a.is_prehashed])
def test_openssl_cms_takes_it_as_anchor_and_no_other(algorithm: Algorithm, tmp_path: Path) -> None:
    certificate, key = write_key(tmp_path, algorithm)
    stranger, _ = write_key(tmp_path, algorithm, "stranger")
    content, signature = tmp_path / "content", tmp_path / "signature"
    content.write_bytes(b"firmware")
    openssl.cms_sign(content, key, certificate, signature)
    assert "CMS Verification successful" in openssl.cms_verify(signature, content, certificate).stderr
    assert "certificate verify error" in openssl.cms_verify(signature, content, stranger).stderr
    content.write_bytes(b"Firmware")
    assert "content verify error" in openssl.cms_verify(signature, content, certificate).stderr


@pytest.mark.parametrize("algorithm", [RSA, Algorithm.RSA_PSS_SHA256])
def test_sbverify_and_osslsigncode_take_it_as_anchor_and_no_other(algorithm: Algorithm, tmp_path: Path) -> None:
    if not MEMTEST.exists():
        missing("memtest86+x64.efi (package memtest86+)")
    certificate, key = write_key(tmp_path, algorithm)
    stranger, _ = write_key(tmp_path, algorithm, "stranger")
    signed = tmp_path / "signed.efi"
    command = [require_tool("sbsign"), "--key", str(key), "--cert", str(certificate), "--output", str(signed)]
    subprocess.run([*command, str(MEMTEST)], check=True, capture_output=True)
    assert "Signature verification OK" in sbverify.verify(signed, certificate).stdout
    assert "Signature verification failed" in sbverify.verify(signed, stranger).stdout
    # Its own signing, not sbsign's: version 2.5 refuses those of sbsign whose PKCS #7 is no multiple of 8 bytes long.
    signed = tmp_path / "signed-too.efi"
    osslsigncode.sign(MEMTEST, key, certificate, signed)
    accepted = osslsigncode.verify(signed, certificate)
    assert (accepted.returncode, "Signature verification: ok" in accepted.stdout) == (0, True)
    refused = osslsigncode.verify(signed, stranger)
    assert (refused.returncode != 0, "Signature verification: failed" in refused.stdout) == (True, True)


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_openssl_checks_the_self_signature_that_a_token_made(
    algorithm: Algorithm, new_token: tuple[SoftHsm, str], tmp_path: Path
) -> None:
    created = make_partition(new_token[1], algorithms=(algorithm,)).keys[algorithm]
    path = tmp_path / "certificate.pem"
    path.write_bytes(as_pem(created.certificates[0]))
    command = [require_tool("openssl"), "verify", "-check_ss_sig", "-CAfile", str(path), str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == f"{path}: OK\n"
    der = created.certificates[0]
    path.write_bytes(as_pem(der[:-1] + bytes([der[-1] ^ 1])))
    assert "failed" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_the_template_says_code_signing_leaf_and_no_more(tmp_path: Path) -> None:
    certificate, _ = write_key(tmp_path, RSA)
    command = [require_tool("openssl"), "x509", "-in", str(certificate), "-noout", "-ext"]
    command += ["basicConstraints,keyUsage,extendedKeyUsage"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.strip() for line in shown.splitlines()] == [
        "X509v3 Basic Constraints: critical",
        "CA:FALSE",
        "X509v3 Key Usage: critical",
        "Digital Signature",
        "X509v3 Extended Key Usage:",
        "Code Signing",
    ]
    parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert parsed.subject == parsed.issuer
    assert (parsed.not_valid_before_utc, parsed.not_valid_after_utc) == (TEMPLATE.not_before, TEMPLATE.not_after)


def test_serial_numbers_are_random(tmp_path: Path) -> None:
    numbers = [
        x509.load_pem_x509_certificate(write_key(tmp_path, Algorithm.ED25519)[0].read_bytes()).serial_number
        for _ in range(3)
    ]
    assert len({n >> 64 for n in numbers}) == 3


def test_a_signature_by_another_key_makes_no_certificate() -> None:
    ours, other = (private_keys.generate(RSA, 2048) for _ in range(2))
    with pytest.raises(VerificationError, match="does not verify"):
        self_signed(private_keys.public_half(ours), RSA, lambda p: private_keys.sign(other, RSA, p), TEMPLATE)


@pytest.mark.parametrize(
    "template",
    [
        CertificateTemplate(common_name="", not_before=TEMPLATE.not_before, not_after=TEMPLATE.not_after),
        CertificateTemplate(common_name="x" * 65, not_before=TEMPLATE.not_before, not_after=TEMPLATE.not_after),
        CertificateTemplate(
            common_name="x", not_before=TEMPLATE.not_before, not_after=TEMPLATE.not_before - timedelta(days=1)
        ),
    ],
)
def test_a_name_or_validity_that_cannot_be_is_refused(template: CertificateTemplate) -> None:
    key = private_keys.generate(Algorithm.ED25519, 256)
    with pytest.raises(ConfigurationError, match="no certificate can say this"):
        self_signed(
            private_keys.public_half(key),
            Algorithm.ED25519,
            lambda p: private_keys.sign(key, Algorithm.ED25519, p),
            template,
        )
