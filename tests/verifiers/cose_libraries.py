"""Two COSE libraries judge COSE_Sign1, pycose and python-cwt; neither knows ML-DSA, which dilithium-py judges."""

from typing import Any

import cbor2
import cwt
from cryptography.hazmat.primitives import serialization
from cwt import COSE, COSEKey
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from pycose.keys import EC2Key, OKPKey
from pycose.messages import Sign1Message

ML_DSA = {-48: ML_DSA_44, -49: ML_DSA_65, -50: ML_DSA_87}


def pycose_accepts(message: bytes, payload: bytes, public_key: Any) -> bool:
    """Whether pycose verifies this signature; it raises where it does not know the algorithm."""
    decoded = Sign1Message.decode(message)
    pem = public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    kind: Any = EC2Key if hasattr(public_key, "curve") else OKPKey
    decoded.key = kind.from_pem_public_key(pem)
    return bool(decoded.verify_signature(detached_payload=payload))


def cwt_accepts(message: bytes, payload: bytes, public_key: Any, algorithm: str) -> bool:
    """Whether python-cwt verifies this signature; ``algorithm`` as it names it (``ESP256``)."""
    pem = public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    key = COSEKey.from_pem(pem, kid=cbor2.loads(message).value[1][4], alg=algorithm)
    try:
        found = COSE.new().decode(message, key, detached_payload=payload)
    except cwt.VerifyError:
        return False
    return bool(found == payload)


def dilithium_accepts(message: bytes, payload: bytes, raw_public_key: bytes) -> bool:
    """Take the message apart by RFC 9052 and have dilithium-py verify its ML-DSA signature."""
    protected, _, absent, signature = cbor2.loads(message).value
    assert absent is None
    scheme = ML_DSA[cbor2.loads(protected)[1]]
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    return bool(scheme.verify(raw_public_key, signed, signature))
