"""Signature blocks of ESP32 Secure Boot v2: 1216 bytes each, up to three in the 4 KiB sector behind the image.

A block carries the public key, for RSA also two values for the chip's Montgomery multiplier; all numbers are little
endian.  The chip knows a key by the SHA-256 of that part, burnt into its eFuses.
Reference: ESP-IDF documentation, "Secure Boot v2", "Signature Block Format"; P-384 as espsecure 5.6 writes it.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats.esp32_image import SECTOR_BYTES

MAGIC, BLOCK_BYTES, MAX_BLOCKS = 0xE7, 1216, 3
RSA_VERSION, ECDSA_VERSION = 2, 3
CRC_AT = 1196  # CRC-32 of all before; 16 zeros follow
RSA_BITS, RSA_BYTES = 3072, 384
RSA_KEY = struct.Struct("<384sI384sI")  # n, e, R = 2^6144 mod n, M' = -1/n mod 2^32
ERASED = b"\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One elliptic curve that chips know."""

    curve_id: int
    reserved: int
    """The third byte of the block: 1 says that hash and numbers have 48 bytes."""
    curve: ec.EllipticCurve
    number_bytes: int


CURVES = {
    Algorithm.ECDSA_P256_SHA256: Curve(curve_id=2, reserved=0, curve=ec.SECP256R1(), number_bytes=32),
    Algorithm.ECDSA_P384_SHA384: Curve(curve_id=3, reserved=1, curve=ec.SECP384R1(), number_bytes=48),
}
ALGORITHMS = (Algorithm.RSA_PSS_SHA256, *CURVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A signature block taken apart; its structure and CRC are right, its signature is not yet checked."""

    at: int
    algorithm: Algorithm
    image_digest: bytes
    public_key: PublicKey
    signature: bytes
    """In canonical encoding: as long as the modulus, or DER."""


def key_part(key: PublicKey, algorithm: Algorithm) -> bytes:
    """Return a public key as blocks hold it; ``FormatError`` (``target-cannot-verify``) for one that fits no chip."""
    key.check_algorithm(algorithm)
    known = key.key
    if isinstance(known, rsa.RSAPublicKey) and algorithm is Algorithm.RSA_PSS_SHA256 and known.key_size == RSA_BITS:
        numbers = known.public_numbers()
        if numbers.e < 1 << 32:
            return _rsa_part(numbers.n, numbers.e)
    if isinstance(known, ec.EllipticCurvePublicKey) and algorithm in CURVES:
        point, curve = known.public_numbers(), CURVES[algorithm]
        return bytes([curve.curve_id]) + _little(point.x, curve) + _little(point.y, curve)
    raise FormatError(
        f"Secure Boot v2 knows no {algorithm} with a key of {key.size_bits} bits",
        code=Code.TARGET_CANNOT_VERIFY,
        hint=f"it knows RSA of {RSA_BITS} bits with {Algorithm.RSA_PSS_SHA256}, {' and '.join(CURVES)}",
    )


def key_digest(key: PublicKey, algorithm: Algorithm) -> str:
    """Return what is burnt into the eFuses for a key, lower-case hex."""
    return hashlib.sha256(key_part(key, algorithm)).hexdigest()


def build(image_digest: bytes, key: PublicKey, algorithm: Algorithm, signature: bytes) -> bytes:
    """Return the block of one signature, which is given in canonical encoding."""
    if algorithm is Algorithm.RSA_PSS_SHA256:
        head, value = bytes([MAGIC, RSA_VERSION, 0, 0]), signature[::-1]
    else:
        curve = CURVES[algorithm]
        head = bytes([MAGIC, ECDSA_VERSION, curve.reserved, 0])
        value = b"".join(_little(number, curve) for number in decode_dss_signature(signature))
    body = (head + image_digest + key_part(key, algorithm) + value).ljust(CRC_AT, b"\0")
    return body + zlib.crc32(body).to_bytes(4, "little") + bytes(BLOCK_BYTES - CRC_AT - 4)


def parse_sector(sector: bytes, start: int) -> tuple[Block, ...]:
    """Take the signature sector at offset ``start`` apart; ``FormatError`` unless blocks and erased bytes fill it."""
    if len(sector) != SECTOR_BYTES:
        raise FormatError(f"signature sector has {len(sector)} bytes, not {SECTOR_BYTES}", at=start)
    blocks: list[Block] = []
    for i in range(MAX_BLOCKS):
        data, at = sector[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES], start + i * BLOCK_BYTES
        if not data.strip(ERASED):
            break
        blocks.append(_parse(data, at))
    used = len(blocks) * BLOCK_BYTES
    if sector[used:].strip(ERASED):
        raise FormatError("signature sector holds something behind its blocks", at=start + used)
    return tuple(blocks)


def _parse(data: bytes, at: int) -> Block:
    magic, version, reserved, zero = data[:4]
    if magic != MAGIC:
        raise FormatError(f"signature block begins with {magic:#04x}, not {MAGIC:#04x}", at=at)
    if data[CRC_AT : CRC_AT + 4] != zlib.crc32(data[:CRC_AT]).to_bytes(4, "little"):
        raise FormatError("CRC of a signature block is wrong", at=at + CRC_AT)
    if any(data[CRC_AT + 4 :]) or zero:
        raise FormatError("reserved bytes of a signature block are in use", at=at)
    if (version, reserved) == (RSA_VERSION, 0):
        return _parse_rsa(data, at)
    if version == ECDSA_VERSION:
        for algorithm, curve in CURVES.items():
            if curve.reserved == reserved and data[4 + _hash_bytes(algorithm)] == curve.curve_id:
                return _parse_ecdsa(data, at, algorithm)
    raise FormatError(
        f"signature block of version {version} with {reserved:#04x} and curve {data[36]} is not known",
        at=at + 1,
        code=Code.UNSUPPORTED_IMAGE,
    )


def _parse_rsa(data: bytes, at: int) -> Block:
    begin = 4 + 32
    n, e, _, _ = RSA_KEY.unpack_from(data, begin)
    modulus, stop = int.from_bytes(n, "little"), begin + RSA_KEY.size
    if modulus.bit_length() != RSA_BITS or not modulus & 1:
        raise FormatError(f"modulus in a signature block is no odd number of {RSA_BITS} bits", at=at + begin)
    if data[begin:stop] != _rsa_part(modulus, e):
        raise FormatError("Montgomery values in a signature block are not those of its key", at=at + begin)
    return Block(
        at=at,
        algorithm=Algorithm.RSA_PSS_SHA256,
        image_digest=data[4:begin],
        public_key=_public_key(lambda: rsa.RSAPublicNumbers(e, modulus).public_key(), at + begin),
        signature=data[stop : stop + RSA_BYTES][::-1],
    )


def _parse_ecdsa(data: bytes, at: int, algorithm: Algorithm) -> Block:
    curve, begin = CURVES[algorithm], 4 + _hash_bytes(algorithm)
    size = curve.number_bytes
    x, y, r, s = (
        int.from_bytes(data[offset : offset + size], "little")
        for offset in range(begin + 1, begin + 1 + 4 * size, size)
    )
    if any(data[begin + 1 + 4 * size : CRC_AT]):
        raise FormatError("reserved bytes of a signature block are in use", at=at + begin + 1 + 4 * size)
    return Block(
        at=at,
        algorithm=algorithm,
        image_digest=data[4:begin],
        public_key=_public_key(lambda: ec.EllipticCurvePublicNumbers(x, y, curve.curve).public_key(), at + begin),
        signature=encode_dss_signature(r, s),
    )


def _public_key(make: Callable[[], rsa.RSAPublicKey | ec.EllipticCurvePublicKey], at: int) -> PublicKey:
    try:
        return PublicKey(make().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except ValueError:
        raise FormatError("signature block holds no public key", at=at) from None


def _rsa_part(n: int, e: int) -> bytes:
    r, m_prime = pow(2, 2 * RSA_BITS, n), -pow(n, -1, 1 << 32) % (1 << 32)
    return RSA_KEY.pack(n.to_bytes(RSA_BYTES, "little"), e, r.to_bytes(RSA_BYTES, "little"), m_prime)


def _little(number: int, curve: Curve) -> bytes:
    return number.to_bytes(curve.number_bytes, "little")


def _hash_bytes(algorithm: Algorithm) -> int:
    return hashlib.new(algorithm.hash_name).digest_size
