"""Encrypted PKCS#8 as OpenSSL writes it, for kinds of keys that the library does not read once they are decrypted.

PBES2 with PBKDF2 and AES-CBC alone (RFC 8018, sections 5.2 and 6.2; RFC 5958, section 3).  Nothing is authenticated:
whoever reads the key checks that its halves belong together.
"""

from asn1crypto import core, keys
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

MAX_ITERATIONS = 10_000_000  # some seconds; OpenSSL takes 2048 unless told otherwise
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - the default of RFC 8018; a key derivation, no signature
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def decrypt(der: bytes, passphrase: bytes) -> bytes | None:
    """Return the PrivateKeyInfo in DER; None for another way of encryption, another passphrase or other bytes."""
    try:
        info = keys.EncryptedPrivateKeyInfo.load(der, strict=True)
        method = info["encryption_algorithm"]
        if method["algorithm"].native != "pbes2" or method.kdf != "pbkdf2" or method.encryption_cipher != "aes":
            return None
        if not 1 <= method.kdf_iterations <= MAX_ITERATIONS or method.encryption_mode != "cbc":
            return None
        derive = PBKDF2HMAC(_HASHES[method.kdf_hmac], method.key_length, method.kdf_salt, method.kdf_iterations)
        cipher = Cipher(algorithms.AES(derive.derive(passphrase)), modes.CBC(method.encryption_iv)).decryptor()
        padded = cipher.update(info["encrypted_data"].native) + cipher.finalize()
        unpadder = padding.PKCS7(algorithms.AES.block_size).unpadder()
        plain = unpadder.update(padded) + unpadder.finalize()
        core.Sequence.load(plain, strict=True)
    except (ValueError, TypeError, KeyError):  # asn1crypto's and the library's ways to say that it is something else
        return None
    return plain
