"""The embedded keystore: encrypted files, keys decrypted in the memory of its worker.  Graded ``software``.

It protects a stolen folder, not a stolen process: there is no hardware here.  The files: ``files_partition``.
"""

import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sealwright.core.errors import Code, ConfigurationError, RefusedError, SealwrightError, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.files_partition import PARTITION_FILE, Partition, create_partition, unavailable
from sealwright.keystores.hss_lms_keys import HssLmsPrivateKey
from sealwright.keystores.interface import (
    CertificateTemplate,
    CreatedKey,
    Grade,
    ListedKey,
    ModuleFacts,
    Sign,
    check_size,
    checked,
    key_not_found,
    not_one_key,
)
from sealwright.keystores.lms_state import Counters
from sealwright.keystores.lms_tree import Hypertree
from sealwright.keystores.numbers import Block, Counter
from sealwright.keystores.private_keys import PrivateKey
from sealwright.keystores.secrets import Secret

__all__ = ["FilesCeremony", "FilesKeystore", "create_partition"]
COUNTERS_FILE = "counters.sqlite"


class FilesKeystore:
    """A partition open for signing, its keys decrypted in memory."""

    def __init__(self, folder: Path) -> None:
        self._partition = Partition(folder)
        self._keys: dict[str, tuple[PublicKey, PrivateKey]] = {}
        self._trees: dict[str, Hypertree] = {}
        self._lost: deque[str] = deque()
        """Keys whose trees are to be made again."""
        self._mending: threading.Thread | None = None
        self._unmendable: dict[str, SealwrightError] = {}
        self._counters = Counters(folder / COUNTERS_FILE)

    def open(self, passphrase: Secret) -> None:
        """Decrypt every key; ``ConfigurationError`` when the passphrase is wrong or any file was changed."""
        self._partition.open(passphrase)
        self._read_new_keys()

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return the keys by fingerprint; ``UnavailableError`` when a file that was there is gone."""
        if gone := self._keys.keys() - self._read_new_keys():
            raise unavailable(f"key file {min(gone)}.json is gone")
        return {fingerprint: public for fingerprint, (public, _) in self._keys.items()}

    def sign(self, fingerprint: str, algorithm: Algorithm, payload: bytes, block: Block | None = None) -> bytes:
        """Sign as ``Keystore.sign`` says."""
        return self.signing(fingerprint, algorithm, block)(payload)

    def signing(self, fingerprint: str, algorithm: Algorithm, block: Block | None = None, count: int = 1) -> Sign:
        """Return what signs, as ``Keystore.signing`` says."""
        if fingerprint not in self._keys:
            self._read_new_keys()
        if fingerprint not in self._keys:
            raise key_not_found(fingerprint)
        public, private = self._keys[fingerprint]
        public.check_algorithm(algorithm)
        if isinstance(private, HssLmsPrivateKey):
            return checked(algorithm, self._numbered(fingerprint, private, block, count))
        return checked(algorithm, private_keys.signing(private, algorithm))

    def counters(self) -> Mapping[str, Counter]:
        """Return how far each HSS/LMS key is used up whose counter is there."""
        self._read_new_keys()
        found = {}
        for fingerprint, (_, private) in self._keys.items():
            if isinstance(private, HssLmsPrivateKey):
                with suppress(ConfigurationError):  # the other keys of the partition have theirs
                    found[fingerprint] = self._counters.next(fingerprint)
        return found

    def _numbered(self, fingerprint: str, key: HssLmsPrivateKey, block: Block | None, count: int) -> Sign:
        """Return what signs up to ``count`` messages, with numbers that are taken together at the first of them."""
        if block is None:
            raise RefusedError(f"key {fingerprint[:16]} is stateful and got no block", code=Code.STATE_EXHAUSTED)
        if not key.nodes:
            raise self._unmendable.get(fingerprint) or UnavailableError(
                f"the tree of key {fingerprint[:16]} was lost or damaged, and is being made again",
                code=Code.KEY_NOT_READY,
                retry_after_seconds=30,
                hint="it takes up to a few minutes, and no signature number",
            )
        if fingerprint not in self._trees:
            self._trees[fingerprint] = key.hypertree()
        tree, taken = self._trees[fingerprint], list[int]()

        def sign(message: bytes) -> bytes:
            if not taken:  # from here on they are used, whatever happens
                taken.extend(reversed(self._counters.take_many(fingerprint, *block, count)))
            return tree.sign(taken.pop(), secrets.token_bytes(key.seed.one_time.size), message)

        return sign

    def close(self) -> None:
        """Forget the keys."""
        self._lost.clear()
        self._keys.clear()
        self._trees.clear()
        self._partition.close()

    def _read_new_keys(self) -> set[str]:
        """Decrypt files not read before; return the fingerprints that are there now."""
        there = self._partition.fingerprints()
        for fingerprint in there - self._keys.keys():
            _, private = self._keys[fingerprint] = self._partition.load(fingerprint)
            if isinstance(private, HssLmsPrivateKey) and not private.nodes:
                self._lost.append(fingerprint)
        if self._lost and (self._mending is None or not self._mending.is_alive()):
            self._mending = threading.Thread(target=self._make_trees, name="trees", daemon=True)
            self._mending.start()
        return there

    def _make_trees(self) -> None:
        """Make lost trees again, one after the other: a thread of its own, since all other keys sign meanwhile."""
        while self._lost:
            public, private = self._keys.get(fingerprint := self._lost.popleft(), (None, None))
            if public is None or not isinstance(private, HssLmsPrivateKey):
                return  # closed
            try:
                made = self._partition.make_tree(public, private)
            except SealwrightError as e:
                self._unmendable[fingerprint] = e
                continue
            if fingerprint in self._keys:
                self._keys[fingerprint] = public, made


class FilesCeremony:
    """A partition open for making keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partition = Partition(folder)

    def open(self, passphrase: Secret) -> None:
        """Unseal the partition key; ``ConfigurationError`` (credential) when the passphrase is wrong."""
        self._partition.open(passphrase)

    def create_key(
        self, label: str, algorithm: Algorithm, size_bits: int, certificate: CertificateTemplate, parameters: str = ""
    ) -> CreatedKey:
        """Make a key and its certificate; the key is durable when this returns."""
        check_size(algorithm, size_bits)
        key = private_keys.generate(algorithm, size_bits, parameters)
        if isinstance(key, HssLmsPrivateKey):
            return self._create_stateful(label, key, certificate)
        der = self_signed(
            private_keys.public_half(key),
            algorithm,
            lambda payload: private_keys.sign(key, algorithm, payload),
            certificate,
        )
        return self.import_key(label, key, (der,))

    def _create_stateful(self, label: str, key: HssLmsPrivateKey, template: CertificateTemplate) -> CreatedKey:
        """Number 0 goes into the certificate; the counter is there before the key, and begins behind it."""
        public, tree = private_keys.public_half(key), key.hypertree()
        counters = Counters(self._folder / COUNTERS_FILE)
        counters.add(public.fingerprint, tree.capacity)
        number = counters.take(public.fingerprint, 0, 1)
        randomizer = secrets.token_bytes(key.seed.one_time.size)
        der = self_signed(public, Algorithm.HSS_LMS, lambda text: tree.sign(number, randomizer, text), template)
        self._partition.store(label, public, key, (der,))
        return CreatedKey(label=label, public_key=public, grade=Grade.SOFTWARE, certificates=(der,))

    def import_key(self, label: str, private_key: PrivateKey, certificates: Sequence[bytes]) -> CreatedKey:
        """Seal a key into its file; the key is durable when this returns."""
        if isinstance(private_key, HssLmsPrivateKey):
            raise RefusedError("a stateful key is never taken in: who knows what it signed", code=Code.NOT_PERMITTED)
        public, ordered = private_keys.check_importable(private_key, tuple(certificates))
        self._partition.store(label, public, private_key, ordered)
        return CreatedKey(label=label, public_key=public, grade=Grade.SOFTWARE, certificates=ordered)

    def list_keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the partition, in the order of its labels."""
        files = [self._partition.read(fingerprint) for fingerprint in self._partition.fingerprints()]
        return tuple(
            ListedKey(label=f.label, public_key=PublicKey(f.public_key)) for f in sorted(files, key=lambda f: f.label)
        )

    def describe(self) -> ModuleFacts:
        """Return that these are files."""
        return ModuleFacts(device="files", is_tried=True)

    def remains(self, label: str) -> tuple[str, ...]:
        """Name the key files with this label; a file is there whole or not at all."""
        return tuple(f"key file {f}.json" for f in sorted(self._labelled(label)))

    def take_up(self, label: str, algorithm: Algorithm, certificate: CertificateTemplate) -> CreatedKey:  # noqa: ARG002
        """Return the only key of this label; its certificate was sealed with it."""
        found = self._labelled(label)
        if len(found) != 1:
            raise not_one_key(label, self.remains(label))
        record = self._partition.read(*found)
        public = PublicKey(record.public_key)
        public.check_algorithm(algorithm)
        return CreatedKey(label=label, public_key=public, grade=Grade.SOFTWARE, certificates=record.certificates)

    def read_back(self, fingerprint: str) -> Mapping[str, bool]:  # noqa: ARG002
        """No token, no word of it."""
        return {}

    def discard(self, label: str) -> None:
        """Refuse: a key file is whole, and whole keys are taken up."""
        raise not_one_key(label, self.remains(label))

    def sealed_files(self, fingerprint: str) -> tuple[Path, ...]:
        """Return the partition's file and the key's: together, and with the passphrase, they are the key."""
        return self._folder / PARTITION_FILE, self._folder / f"{fingerprint}.json"

    def close(self) -> None:
        """Forget the partition key."""
        self._partition.close()

    def _labelled(self, label: str) -> list[str]:
        return [f for f in self._partition.fingerprints() if self._partition.read(f).label == label]
