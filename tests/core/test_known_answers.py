"""Published answers, run through the verification that the product uses: NIST ACVP and Wycheproof.

The ACVP files exercise the internal interface (no domain byte, no context).  For ML-DSA that is reached through mu; for
SLH-DSA the library has no such door, so of its files the keys are used, and the signatures to judge the judge of ours
(``docs/algorithms.md``).
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asn1crypto.pem import armor, unarmor
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from tests.conftest import vectors
from tests.verifiers import openssl35

from sealwright.core.errors import FormatError, SealwrightError, VerificationError
from sealwright.core.keys import Algorithm, Family, PublicKey, SlhDsaPublicKey
from sealwright.formats import cose
from sealwright.keystores import private_keys
from sealwright.keystores.slh_dsa_keys import SlhDsaPrivateKey

ML_DSA: dict[str, tuple[Any, Any, Any]] = {
    "ml-dsa-44": (mldsa.MLDSA44PublicKey, mldsa.MLDSA44PrivateKey, ML_DSA_44),
    "ml-dsa-65": (mldsa.MLDSA65PublicKey, mldsa.MLDSA65PrivateKey, ML_DSA_65),
    "ml-dsa-87": (mldsa.MLDSA87PublicKey, mldsa.MLDSA87PrivateKey, ML_DSA_87),
}
CLASSICAL = {
    "ecdsa_secp256r1_sha256": Algorithm.ECDSA_P256_SHA256,
    "ecdsa_secp256r1_sha256_p1363": Algorithm.ECDSA_P256_SHA256,
    "ecdsa_secp384r1_sha384": Algorithm.ECDSA_P384_SHA384,
    "ecdsa_secp384r1_sha384_p1363": Algorithm.ECDSA_P384_SHA384,
    "ecdsa_secp521r1_sha512": Algorithm.ECDSA_P521_SHA512,
    "ed25519": Algorithm.ED25519,
    "rsa_pss_2048_sha256_mgf1_32": Algorithm.RSA_PSS_SHA256,
    "rsa_pss_3072_sha256_mgf1_32": Algorithm.RSA_PSS_SHA256,
    "rsa_pss_4096_sha512_mgf1_64": Algorithm.RSA_PSS_SHA512,
    "rsa_signature_2048_sha256": Algorithm.RSA_PKCS1_SHA256,
    "rsa_signature_3072_sha256": Algorithm.RSA_PKCS1_SHA256,
    "rsa_signature_3072_sha384": Algorithm.RSA_PKCS1_SHA384,
    "rsa_signature_4096_sha256": Algorithm.RSA_PKCS1_SHA256,
    "rsa_signature_4096_sha512": Algorithm.RSA_PKCS1_SHA512,
}


@cache
def answers(name: str) -> Any:
    return json.loads((vectors("crypto-kat") / f"{name}.json").read_text())


def cases(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in answers(name)["testGroups"]:
        for case in group["tests"]:
            yield group, case


def accepts(key: PublicKey, algorithm: Algorithm, message: bytes, signature: bytes) -> bool:
    payload = hashlib.new(algorithm.hash_name, message).digest() if algorithm.is_prehashed else message
    try:
        key.verify(algorithm, payload, signature)
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("name", CLASSICAL)
def test_wycheproof_agrees_on_every_classical_signature(name: str) -> None:
    algorithm, seen = CLASSICAL[name], 0
    for group, case in cases(f"wycheproof/{name}"):
        key = PublicKey(bytes.fromhex(group["publicKeyDer"]))
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        try:
            if name.endswith("_p1363"):
                signature = cose.canonical_signature(algorithm, signature)
            accepted = accepts(key, algorithm, message, signature)
        except SealwrightError:
            accepted = False
        if case["result"] != "acceptable":  # those are signatures whose refusal and acceptance are both right
            assert accepted == (case["result"] == "valid"), case
        seen += 1
    assert seen == answers(f"wycheproof/{name}")["numberOfTests"]


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_wycheproof_agrees_on_every_ml_dsa_signature_and_we_take_the_empty_context_alone(algorithm: str) -> None:
    kind, _, _ = ML_DSA[algorithm]
    for group, case in cases(f"wycheproof/mldsa_{algorithm[-2:]}_verify"):
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        context, valid = bytes.fromhex(case.get("ctx", "")), case["result"] == "valid"
        try:
            key = kind.from_public_bytes(bytes.fromhex(group["publicKey"]))
        except ValueError:
            assert not valid, case
            continue
        public = PublicKey(_spki(key))
        assert accepts(public, Algorithm(algorithm), message, signature) == (valid and not context), case
        if context and valid:
            key.verify(signature, message, context)


@pytest.mark.parametrize("algorithm", ["ml-dsa-44", "ml-dsa-65"])
def test_wycheproof_seeds_give_its_keys_and_its_signatures_verify(algorithm: str) -> None:
    for group, case in cases(f"wycheproof/mldsa_{algorithm[-2:]}_sign_seed"):
        if group.get("publicKey") is None or case["result"] != "valid":
            continue
        key = ML_DSA[algorithm][1].from_seed_bytes(bytes.fromhex(group["privateSeed"]))
        if "privateKeyPkcs8" in group:
            key, _ = private_keys.load_private_key(bytes.fromhex(group["privateKeyPkcs8"]), None)
        public = private_keys.public_half(key)
        assert public.key.public_bytes_raw() == bytes.fromhex(group["publicKey"])  # type: ignore[union-attr]
        if "msg" in case and not case.get("ctx"):
            message = bytes.fromhex(case["msg"])
            assert accepts(public, Algorithm(algorithm), message, bytes.fromhex(case["sig"])), case
            assert accepts(public, Algorithm(algorithm), message, private_keys.sign(key, Algorithm(algorithm), message))


def test_nist_seeds_give_its_ml_dsa_keys() -> None:
    for group, case in cases("acvp-ml-dsa-keygen"):
        _, kind, _ = ML_DSA[group["parameterSet"].lower()]
        made = kind.from_seed_bytes(bytes.fromhex(case["seed"])).public_key().public_bytes_raw()
        assert made == bytes.fromhex(case["pk"]), case["tcId"]


def test_nist_agrees_on_every_ml_dsa_signature() -> None:
    for group, case in cases("acvp-ml-dsa-sigver"):
        kind, _, _ = ML_DSA[group["parameterSet"].lower()]
        public, message = bytes.fromhex(group["pk"]), bytes.fromhex(case["message"])
        assert _accepts_mu(kind, public, message, bytes.fromhex(case["signature"])) == case["testPassed"], case["tcId"]


def test_we_accept_every_ml_dsa_signature_that_nist_made() -> None:
    for group, case in cases("acvp-ml-dsa-siggen"):
        kind, _, oracle = ML_DSA[group["parameterSet"].lower()]
        public, message = oracle.pk_from_sk(bytes.fromhex(case["sk"])), bytes.fromhex(case["message"])
        signature = bytes.fromhex(case["signature"])
        assert _accepts_mu(kind, public, message, signature), case["tcId"]
        assert not _accepts_mu(kind, public, message + b"!", signature), case["tcId"]


def test_the_ml_dsa_keys_of_rfc_9881_are_read() -> None:
    for name in ("ML-DSA-44", "ML-DSA-87"):
        pem = (vectors("crypto-kat") / f"lamps-{name}.pub.pem").read_bytes()
        key = PublicKey(unarmor(pem)[2])
        key.check_algorithm(Algorithm(name.lower()))
        assert b"".join(key.pem.split()) == b"".join(pem.split())


def test_nist_slh_dsa_keys_have_their_public_halves_and_sign() -> None:
    signed = set()
    for group, case in cases("acvp-slh-dsa-keygen"):
        algorithm = Algorithm(group["parameterSet"].lower())
        key = SlhDsaPrivateKey(algorithm, bytes.fromhex(case["sk"]))
        assert key.public_key() == SlhDsaPublicKey(algorithm, bytes.fromhex(case["pk"]))
        if algorithm not in signed:  # one a set: the root in the public half is right, or this would not verify
            signed.add(algorithm)
            assert accepts(private_keys.public_half(key), algorithm, b"m", key.sign(b"m"))
            broken = SlhDsaPrivateKey(algorithm, key.raw[:-1] + bytes([key.raw[-1] ^ 1]))
            assert not accepts(private_keys.public_half(broken), algorithm, b"m", broken.sign(b"m"))
    assert len(signed) == 4


def test_nist_agrees_with_the_judge_of_our_slh_dsa_signatures(tmp_path: Path) -> None:
    public, message, signature = (tmp_path / name for name in ("public.pem", "message", "signature"))
    seen = set()
    for group, case in cases("acvp-slh-dsa-sigver"):
        key = SlhDsaPrivateKey(Algorithm(group["parameterSet"].lower()), bytes.fromhex(case["sk"]))
        public.write_bytes(armor("PUBLIC KEY", private_keys.public_half(key).spki_der))
        message.write_bytes(bytes.fromhex(case["message"]))
        signature.write_bytes(bytes.fromhex(case["signature"]))
        judged = openssl35.verify(public, message, signature, "-pkeyopt", "message-encoding:0")
        assert judged.returncode == (not case["testPassed"]), case["reason"]
        assert f"Signature Verifi{'ed Successfully' if case['testPassed'] else 'cation Failure'}" in judged.stdout
        assert openssl35.verify(public, message, signature).returncode != 0, "the external interface wraps the message"
        seen.add((group["parameterSet"], case["testPassed"]))
    assert len(seen) == 2 * 5


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if a.family is Family.SLH_DSA])
def test_an_slh_dsa_key_has_one_spelling(algorithm: Algorithm) -> None:
    der = private_keys.public_half(SlhDsaPrivateKey.generate(algorithm)).spki_der
    assert PublicKey(der).size_bits == algorithm.key_size_bits
    for other in (der[:-1], der + b"\0", der.replace(b"\x30", b"\x31", 1), der[:1] + b"\x81" + der[1:]):
        with pytest.raises(FormatError, match="not a public key"):
            _ = PublicKey(other).key


def _accepts_mu(kind: Any, public: bytes, message: bytes, signature: bytes) -> bool:
    """Verify as the internal interface does: FIPS 204, algorithm 8, line 6, without the wrapping of algorithm 3."""
    mu = hashlib.shake_256(hashlib.shake_256(public).digest(64) + message).digest(64)
    try:
        kind.from_public_bytes(public).verify_mu(signature, mu)
    except (InvalidSignature, ValueError):
        return False
    return True


def _spki(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
