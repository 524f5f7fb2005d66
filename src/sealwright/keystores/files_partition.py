"""A partition as a folder: ``partition.json`` and one encrypted file per key.

``partition.json`` holds a random partition key, sealed with Argon2id (RFC 9106) of the passphrase.  Each
``<fingerprint>.json`` holds a PKCS#8 key sealed with the partition key.  Sealing is AES-256-GCM (NIST SP 800-38D); the
additional data are all other members of the file, so that label, public key (its key type and curve with it) and
certificates cannot be exchanged.  An HSS/LMS key has its tree in ``<fingerprint>.nodes``, which is no secret.  Files
are written whole or not at all, and are refused when others can read them.
"""

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, FormatError, UnavailableError
from sealwright.core.keys import PublicKey
from sealwright.core.records import Bounds, Salt, Text
from sealwright.keystores import private_keys
from sealwright.keystores.hss_lms_keys import HssLmsPrivateKey
from sealwright.keystores.interface import key_is_there
from sealwright.keystores.private_keys import PrivateKey
from sealwright.keystores.secrets import Secret

PARTITION_FILE = "partition.json"
MAX_KEYS = 10_000
MAX_NODES_BYTES = 4 << 20
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFile:
    """The sealed partition key and how the passphrase opens it (bounds: a changed file cannot exhaust the memory)."""

    type: Literal["keystore-partition"]
    format: Literal[1]
    salt: Salt
    memory_kib: Annotated[int, Bounds(64 * 1024, 1024 * 1024)]
    iterations: Annotated[int, Bounds(3, 64)]
    lanes: Annotated[int, Bounds(1, 16)]
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """One key: nonce and ciphertext of its PKCS#8 form, and what may be read without the passphrase."""

    type: Literal["keystore-key"]
    format: Literal[1]
    label: Text
    public_key: bytes
    certificates: tuple[bytes, ...]
    sealed: bytes


Sealed = TypeVar("Sealed", PartitionFile, KeyFile)


def create_partition(folder: Path, passphrase: Secret) -> None:
    """Make an empty partition in a new folder (mode 0700)."""
    header = PartitionFile(
        type="keystore-partition",
        format=1,
        salt=secrets.token_hex(16),
        memory_kib=64 * 1024,
        iterations=3,
        lanes=1,
        sealed=b"",
    )
    try:
        folder.mkdir(mode=0o700)
    except OSError as e:
        raise ConfigurationError(f"cannot make the partition {folder}: {e.strerror}", setting="keystore") from e
    sealed = _seal(_derive(passphrase, header), header, secrets.token_bytes(32))
    _write_new(folder / PARTITION_FILE, records.serialise(sealed))
    _sync_folder(folder.parent)


class Partition:
    """The folder and, while it is open, the partition key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key: bytes | None = None

    def open(self, passphrase: Secret) -> None:
        """Unseal the partition key; ``ConfigurationError`` (credential) when that fails."""
        _check_private(self._folder, is_folder=True)
        header = _read_record(PartitionFile, self._folder / PARTITION_FILE)
        try:
            self._key = _unseal(_derive(passphrase, header), header)
        except InvalidTag:
            raise ConfigurationError(
                f"the passphrase does not open {self._folder} (wrong passphrase, or {PARTITION_FILE} was changed)",
                setting="passphrase",
                code=Code.CREDENTIAL,
            ) from None

    def close(self) -> None:
        """Forget the partition key."""
        self._key = None

    def fingerprints(self) -> set[str]:
        """Return the names of the key files that are there now."""
        try:
            names = {entry.name for entry in self._folder.iterdir()}
        except OSError as e:
            raise unavailable(f"cannot list {self._folder}: {e.strerror}") from e
        # Names with a dot in front are what an interrupted write left behind.
        found = {n.removesuffix(".json") for n in names if n.endswith(".json") and not n.startswith(".")}
        if len(found) > MAX_KEYS:
            raise ConfigurationError(f"{len(found)} keys, at most {MAX_KEYS} in one partition", setting="keystore")
        return found - {PARTITION_FILE.removesuffix(".json")}

    def read(self, fingerprint: str) -> KeyFile:
        """Read a key file without unsealing it."""
        record = _read_record(KeyFile, self._folder / f"{fingerprint}.json")
        if PublicKey(record.public_key).fingerprint != fingerprint:
            raise ConfigurationError(f"{fingerprint}.json holds another key than its name says", setting="keystore")
        return record

    def load(self, fingerprint: str) -> tuple[PublicKey, PrivateKey]:
        """Unseal a key; ``ConfigurationError`` when the file was changed or its halves are not one key.

        An HSS/LMS key whose tree is lost or damaged comes without nodes; ``make_tree`` makes them, which takes long.
        """
        record = self.read(fingerprint)
        try:
            encoded = _unseal(self._open_key(), record)
        except InvalidTag:
            raise ConfigurationError(
                f"{fingerprint}.json does not decrypt: it was changed, or belongs to another partition",
                setting="keystore",
                hint="restore the file from a backup of this partition",
            ) from None
        public, key = PublicKey(record.public_key), private_keys.load_pkcs8_der(encoded)
        if isinstance(key, HssLmsPrivateKey):
            return public, self._with_nodes(public, key)
        _check_halves(public, key)
        return public, key

    def store(self, label: str, public: PublicKey, private: PrivateKey, certificates: tuple[bytes, ...]) -> None:
        """Seal a key into a new file; ``RefusedError`` (conflict) when it is there already."""
        _check_private(self._folder, is_folder=True)
        record = KeyFile(
            type="keystore-key",
            format=1,
            label=label,
            public_key=public.spki_der,
            certificates=certificates,
            sealed=b"",
        )
        sealed = _seal(self._open_key(), record, private_keys.pkcs8_der(private))
        records.parse(KeyFile, records.serialise(sealed))  # what could not be read back is not written
        path = self._folder / f"{public.fingerprint}.json"
        if path.exists():
            raise key_is_there(public)
        if isinstance(private, HssLmsPrivateKey):
            _write_new(self._nodes_path(public.fingerprint), private.nodes)
        _write_new(path, records.serialise(sealed))

    def make_tree(self, public: PublicKey, key: HssLmsPrivateKey) -> HssLmsPrivateKey:
        """Return a key with its nodes made again, and keep them; it works as well if they cannot be kept now."""
        complete = key.complete_here()
        _check_halves(public, complete)
        with suppress(UnavailableError):
            _write_new(self._nodes_path(public.fingerprint), complete.nodes)
        return complete

    def _with_nodes(self, public: PublicKey, key: HssLmsPrivateKey) -> HssLmsPrivateKey:
        try:
            with self._nodes_path(public.fingerprint).open("rb") as stream:
                kept = key.with_nodes(stream.read(MAX_NODES_BYTES))
        except OSError:
            return key
        return kept if kept.nodes and private_keys.public_half(kept).spki_der == public.spki_der else key

    def _nodes_path(self, fingerprint: str) -> Path:
        return self._folder / f"{fingerprint}.nodes"

    def _open_key(self) -> bytes:
        if self._key is None:
            raise unavailable(f"{self._folder} is not open")
        return self._key


def _check_halves(public: PublicKey, key: PrivateKey) -> None:
    if private_keys.public_half(key).spki_der != public.spki_der:
        raise ConfigurationError(f"{public.fingerprint}.json holds the halves of two keys", setting="keystore")


def _derive(passphrase: Secret, header: PartitionFile) -> bytes:
    return hash_secret_raw(
        secret=passphrase.reveal(),
        salt=bytes.fromhex(header.salt),
        time_cost=header.iterations,
        memory_cost=header.memory_kib,
        parallelism=header.lanes,
        hash_len=32,
        type=Type.ID,
    )


def _seal(key: bytes, record: Sealed, plain: bytes) -> Sealed:
    # A random nonce is safe here: a key seals at most MAX_KEYS files, far below 2^32.
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return replace(record, sealed=nonce + AESGCM(key).encrypt(nonce, plain, _associated_data(record)))


def _unseal(key: bytes, record: PartitionFile | KeyFile) -> bytes:
    nonce, ciphertext = record.sealed[:_NONCE_BYTES], record.sealed[_NONCE_BYTES:]
    if len(nonce) < _NONCE_BYTES:
        raise InvalidTag
    return AESGCM(key).decrypt(nonce, ciphertext, _associated_data(record))


def _associated_data(record: PartitionFile | KeyFile) -> bytes:
    return records.serialise(replace(record, sealed=b""))


def _read_record(kind: type[Sealed], path: Path) -> Sealed:
    _check_private(path, is_folder=False)
    try:
        return records.parse(kind, path.read_bytes())
    except OSError as e:
        raise unavailable(f"cannot read {path}: {e.strerror}") from e
    except FormatError as e:
        raise ConfigurationError(f"{path} is not a keystore file: {e.message}", setting="keystore") from e


def _check_private(path: Path, *, is_folder: bool) -> None:
    """Refuse what others can read or write: then the keystore is no longer only ours."""
    try:
        status = path.lstat()
    except OSError as e:
        raise unavailable(f"cannot open {path}: {e.strerror}") from e
    problem = ""
    if not (stat.S_ISDIR(status.st_mode) if is_folder else stat.S_ISREG(status.st_mode)):
        problem = f"is not a {'folder' if is_folder else 'regular file'}"
    elif status.st_uid != os.geteuid():
        problem = f"belongs to user {status.st_uid}, not to us ({os.geteuid()})"
    elif stat.S_IMODE(status.st_mode) & 0o077:
        problem = f"has mode {stat.S_IMODE(status.st_mode):04o}, which lets others in"
    if problem:
        mode = "0700" if is_folder else "0600"
        raise ConfigurationError(f"{path} {problem}", setting="keystore", hint=f"make it ours alone, mode {mode}")


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        raise unavailable(f"cannot write {path}: {e.strerror}") from e


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unavailable(message: str) -> UnavailableError:
    """Return the error for a folder or file that cannot be reached now."""
    return UnavailableError(message, code=Code.KEYSTORE_UNAVAILABLE)
