"""The embedded keystore: encrypted files, keys decrypted in the memory of its worker.  Graded ``software``.

It protects a stolen folder, not a stolen process: there is no hardware here.  The files: ``files_partition``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.files_partition import Partition, create_partition, unavailable
from sealwright.keystores.interface import (
    CertificateTemplate,
    CreatedKey,
    Grade,
    ListedKey,
    check_payload,
    check_size,
    key_not_found,
)
from sealwright.keystores.private_keys import PrivateKey
from sealwright.keystores.secrets import Secret

__all__ = ["FilesCeremony", "FilesKeystore", "create_partition"]


class FilesKeystore:
    """A partition open for signing, its keys decrypted in memory."""

    def __init__(self, folder: Path) -> None:
        self._partition = Partition(folder)
        self._keys: dict[str, tuple[PublicKey, PrivateKey]] = {}

    def open(self, passphrase: Secret) -> None:
        """Decrypt every key; ``ConfigurationError`` when the passphrase is wrong or any file was changed."""
        self._partition.open(passphrase)
        self._read_new_keys()

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return the keys by fingerprint; ``UnavailableError`` when a file that was there is gone."""
        if gone := self._keys.keys() - self._read_new_keys():
            raise unavailable(f"key file {min(gone)}.json is gone")
        return {fingerprint: public for fingerprint, (public, _) in self._keys.items()}

    def sign(self, fingerprint: str, algorithm: Algorithm, payload: bytes) -> bytes:
        """Sign as ``Keystore.sign`` says."""
        if fingerprint not in self._keys:
            self._read_new_keys()
        if fingerprint not in self._keys:
            raise key_not_found(fingerprint)
        public, private = self._keys[fingerprint]
        check_payload(public, algorithm, payload)
        return private_keys.sign(private, algorithm, payload)

    def close(self) -> None:
        """Forget the keys."""
        self._keys.clear()
        self._partition.close()

    def _read_new_keys(self) -> set[str]:
        """Decrypt files not read before; return the fingerprints that are there now."""
        there = self._partition.fingerprints()
        for fingerprint in there - self._keys.keys():
            self._keys[fingerprint] = self._partition.load(fingerprint)
        return there


class FilesCeremony:
    """A partition open for making keys."""

    def __init__(self, folder: Path) -> None:
        self._partition = Partition(folder)

    def open(self, passphrase: Secret) -> None:
        """Unseal the partition key; ``ConfigurationError`` (credential) when the passphrase is wrong."""
        self._partition.open(passphrase)

    def create_key(
        self, label: str, algorithm: Algorithm, size_bits: int, certificate: CertificateTemplate
    ) -> CreatedKey:
        """Make a key and its certificate; the key is durable when this returns."""
        check_size(algorithm, size_bits)
        key = private_keys.generate(algorithm, size_bits)
        der = self_signed(
            private_keys.public_half(key),
            algorithm,
            lambda payload: private_keys.sign(key, algorithm, payload),
            certificate,
        )
        return self.import_key(label, key, (der,))

    def import_key(self, label: str, private_key: PrivateKey, certificates: Sequence[bytes]) -> CreatedKey:
        """Seal a key into its file; the key is durable when this returns."""
        public, ordered = private_keys.check_importable(private_key, tuple(certificates))
        self._partition.store(label, public, private_key, ordered)
        return CreatedKey(label=label, public_key=public, grade=Grade.SOFTWARE, certificates=ordered)

    def list_keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the partition, in the order of its labels."""
        files = [self._partition.read(fingerprint) for fingerprint in self._partition.fingerprints()]
        return tuple(
            ListedKey(label=f.label, public_key=PublicKey(f.public_key)) for f in sorted(files, key=lambda f: f.label)
        )

    def close(self) -> None:
        """Forget the partition key."""
        self._partition.close()
