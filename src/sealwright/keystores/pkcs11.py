"""PKCS#11 tokens as keystores: one token is one partition, one login for the life of the process.

A PIN is tried once: real tokens lock or erase themselves after a few wrong ones.  When a token goes away, handles and
sessions stay dead even if it comes back; opening anew, in practice a new worker process, is the recovery.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sealwright.core.errors import Code, ConfigurationError, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores import pkcs11_keys, private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.interface import (
    CertificateTemplate,
    CreatedKey,
    Grade,
    ListedKey,
    Sign,
    check_size,
    checked,
    key_is_there,
    key_not_found,
)
from sealwright.keystores.numbers import Block, Counter
from sealwright.keystores.pkcs11_devices import EVIDENCE, Device
from sealwright.keystores.pkcs11_keys import TokenKey, find_keys
from sealwright.keystores.pkcs11_module import CryptokiError, Module, Token
from sealwright.keystores.pkcs11_session import Session, init_token
from sealwright.keystores.pkcs11_uri import TokenUri, parse_uri
from sealwright.keystores.private_keys import PrivateKey
from sealwright.keystores.secrets import Secret


class Pkcs11Keystore:
    """A token open for signing, in a session that cannot write."""

    def __init__(self, uri: str) -> None:
        self._login = _Login(parse_uri(uri), writable=False)
        self._keys: dict[str, TokenKey] = {}

    def open(self, pin: Secret) -> None:
        """Log in and find the keys; ``ConfigurationError`` (credential) for a wrong PIN, from then on always."""
        self._login.open(pin)
        with _translated():
            self._keys = find_keys(self._login.session)

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return the keys by fingerprint; ``UnavailableError`` when one that was there is gone."""
        with _translated():
            now = find_keys(self._login.session)
        # A token that lost its storage answers "no objects" and no error: only a missing name shows it.
        if gone := self._keys.keys() - now.keys():
            raise UnavailableError(f"key {min(gone)} is gone from the token", code=Code.KEYSTORE_UNAVAILABLE)
        self._keys = now
        return {fingerprint: key.public_key for fingerprint, key in now.items()}

    def sign(self, fingerprint: str, algorithm: Algorithm, payload: bytes, block: Block | None = None) -> bytes:
        """Sign as ``Keystore.sign`` says."""
        return self.signing(fingerprint, algorithm, block)(payload)

    def signing(
        self,
        fingerprint: str,
        algorithm: Algorithm,
        block: Block | None = None,  # noqa: ARG002 - no token here has stateful keys
        count: int = 1,  # noqa: ARG002
    ) -> Sign:
        """Return what signs, as ``Keystore.signing`` says."""
        if fingerprint not in self._keys:
            self.public_keys()
        if fingerprint not in self._keys:
            raise key_not_found(fingerprint)
        key = self._keys[fingerprint]
        key.public_key.check_algorithm(algorithm)
        sign = pkcs11_keys.signing(self._login.session, self._login.device, key, algorithm)

        def sign_translated(payload: bytes) -> bytes:
            try:
                return sign(payload)
            except CryptokiError as e:
                raise e.family() from e

        return checked(algorithm, sign_translated)

    def counters(self) -> Mapping[str, Counter]:
        """No stateful keys here."""
        return {}

    def close(self) -> None:
        """End the login."""
        self._keys = {}
        self._login.close()


class Pkcs11Ceremony:
    """A token open for making keys."""

    def __init__(self, uri: str) -> None:
        self._login = _Login(parse_uri(uri), writable=True)

    def open(self, pin: Secret) -> None:
        """Log in; ``ConfigurationError`` (credential) for a wrong PIN, from then on always."""
        self._login.open(pin)

    def create_key(
        self,
        label: str,
        algorithm: Algorithm,
        size_bits: int,
        certificate: CertificateTemplate,
        parameters: str = "",  # noqa: ARG002 - of stateful keys only
    ) -> CreatedKey:
        """Make a key pair that never leaves the token, and its certificate; nothing stays when a step fails."""
        if algorithm.is_stateful:
            raise ConfigurationError(f"no token that was tried makes {algorithm} keys", setting="algorithm")
        check_size(algorithm, size_bits)
        session, device = self._login.session, self._login.device
        with _translated():
            # The final id is the hash of a public key that does not exist yet.
            plan = pkcs11_keys.generation(device, algorithm, size_bits, label, _free_id(session, device))
            handles = session.generate_key_pair(*plan)
            with _destroyed_on_failure(session, handles):
                key = _name_by_hash(session, device, handles)
                attributes = pkcs11_keys.read_evidence(session, key.private_handle)
                _check_kept_inside(attributes, device)
                der = self_signed(
                    key.public_key,
                    algorithm,
                    lambda p: pkcs11_keys.sign(session, device, key, algorithm, p),
                    certificate,
                )
        return CreatedKey(
            label=label,
            public_key=key.public_key,
            grade=Grade.HARDWARE_CLAIMED,
            certificates=(der,),
            attributes=attributes,
        )

    def import_key(self, label: str, private_key: PrivateKey, certificates: Sequence[bytes]) -> CreatedKey:
        """Store an existing key pair; it was outside once, so it is graded ``software``."""
        public, ordered = private_keys.check_importable(private_key, tuple(certificates))
        session, device = self._login.session, self._login.device
        key_id = bytes.fromhex(public.fingerprint) if device.id_bytes == 32 else _free_id(session, device)
        public_object, private_object = pkcs11_keys.import_objects(device, private_key, label, key_id)
        with _translated():
            if public.fingerprint in find_keys(session):
                raise key_is_there(public)
            private_handle = session.create(private_object)
            with _destroyed_on_failure(session, (private_handle,)):
                session.create(public_object)
            attributes = pkcs11_keys.read_evidence(session, private_handle)
        return CreatedKey(
            label=label, public_key=public, grade=Grade.SOFTWARE, certificates=ordered, attributes=attributes
        )

    def list_keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the token that can sign, in the order of its labels."""
        session = self._login.session
        with _translated():
            listed = [
                ListedKey(
                    label=(session.attribute(key.private_handle, abi.CKA_LABEL) or b"").decode("utf-8", "replace"),
                    public_key=key.public_key,
                )
                for key in find_keys(session).values()
            ]
        return tuple(sorted(listed, key=lambda k: k.label))

    def close(self) -> None:
        """End the login."""
        self._login.close()


def create_token(uri: str, so_pin: Secret, user_pin: Secret) -> None:
    """Initialise a free slot as the token that ``uri`` names; a token of that name is never initialised again."""
    wanted = parse_uri(uri)
    if not wanted.device.makes_tokens:
        raise ConfigurationError(
            f"tokens of {wanted.device.name} are not made through PKCS#11",
            setting="keystore",
            hint=f"make it with the vendor's tool ({wanted.device.tool}), then name it and the source of its PIN",
        )
    with _translated():
        module = Module.load(wanted.module_path)
        try:
            tokens = module.tokens()
            if any(t.flags & abi.CKF_TOKEN_INITIALIZED and t.label == wanted.token for t in tokens):
                raise ConfigurationError(f"there is already a token {wanted.token!r}", setting="keystore")
            free = [t for t in tokens if not t.flags & abi.CKF_TOKEN_INITIALIZED]
            if not free:
                raise ConfigurationError("the module has no slot with a token to initialise", setting="keystore")
            init_token(module, free[0].slot, wanted.token, so_pin, user_pin)
        finally:
            module.release()


class _Login:
    """Module, session and login of one token; remembers a refused PIN for its lifetime."""

    def __init__(self, uri: TokenUri, *, writable: bool) -> None:
        self._uri, self.device = uri, uri.device
        self._writable = writable
        self._refusal = ""
        self._module: Module | None = None
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        if self._session is None:
            raise UnavailableError(f"token {self._uri.token!r} is not open", code=Code.KEYSTORE_UNAVAILABLE)
        return self._session

    def open(self, pin: Secret) -> None:
        if self._refusal:
            raise self._refused(self._refusal)
        if not re.fullmatch(self.device.pin_pattern.encode(), pin.reveal()):
            raise self._refused(f"a PIN of {self.device.name} is {self.device.pin_form}; it was not tried")
        self.close()
        with _translated():
            module = Module.load(self._uri.module_path)
            try:
                self._session = self._log_in(module, pin)
                self._module = module
            finally:
                if self._module is None:
                    module.release()

    def close(self) -> None:
        if self._session is not None and self._module is not None:
            self._session.close()
            self._module.release()
        self._session = self._module = None

    def _log_in(self, module: Module, pin: Secret) -> Session:
        token = self._find(module)
        if token.flags & (abi.CKF_USER_PIN_LOCKED | abi.CKF_USER_PIN_FINAL_TRY):
            # The last try before the token locks belongs to a person who can read the PIN.
            raise self._refused("its PIN is locked, or one wrong try away from it")
        session = Session(module, token.slot, writable=self._writable)
        try:
            session.login(abi.CKU_USER, pin)
        except CryptokiError as e:
            session.close()
            if e.answer == abi.CKR_USER_ALREADY_LOGGED_IN:
                # PKCS#11 would let us in without looking at the PIN: the login belongs to the whole process.
                raise ConfigurationError(
                    f"token {token.label!r} is already open in this process", setting="keystore"
                ) from e
            if e.answer not in abi.UNTRIED_ERRORS:
                self._refusal = str(e)
                raise self._refused(self._refusal) from e
            raise
        return session

    def _find(self, module: Module) -> Token:
        found = [
            t
            for t in module.tokens()
            if t.flags & abi.CKF_TOKEN_INITIALIZED and t.label == self._uri.token and self._uri.serial in ("", t.serial)
        ]
        if not found:
            why = "".join(f"; {error}" for error in module.unread[:1])
            raise UnavailableError(f"no token {self._uri.token!r} in any slot{why}", code=Code.KEYSTORE_UNAVAILABLE)
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} tokens are called {self._uri.token!r}",
                setting="keystore",
                hint=f"add ;serial= to the URI: {', '.join(t.serial for t in found)}",
            )
        return found[0]

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"token {self._uri.token!r} does not take the PIN: {why}",
            setting="pin",
            code=Code.CREDENTIAL,
            hint="no PIN is tried twice; correct its source, then restart the signer",
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CryptokiError as e:
        raise e.family() from e


@contextmanager
def _destroyed_on_failure(session: Session, handles: Sequence[int]) -> Iterator[None]:
    """Leave no half-made key behind."""
    try:
        yield
    except BaseException:
        for handle in handles:
            session.destroy(handle)
        raise


def _free_id(session: Session, device: Device) -> bytes:
    """Return a random CKA_ID that no object has; short ones could meet by chance, and would then find no key."""
    while session.find({abi.CKA_ID: (key_id := secrets.token_bytes(device.id_bytes))}):
        pass
    return key_id


def _name_by_hash(session: Session, device: Device, handles: tuple[int, int]) -> TokenKey:
    """Set CKA_ID of both halves to the SHA-256 of the public key, the name by which all others know it."""
    public_handle, private_handle = handles
    public = pkcs11_keys.read_public_key(session, public_handle)
    if public is None:
        raise ConfigurationError("the token made a public key that cannot be read back", setting="keystore")
    if device.id_bytes == 32:
        for handle in handles:
            session.set_attributes(handle, {abi.CKA_ID: bytes.fromhex(public.fingerprint)})
    return TokenKey(public, private_handle)


def _check_kept_inside(attributes: Mapping[str, bool], device: Device) -> None:
    claimed = {name for name, value in attributes.items() if value}
    if claimed | device.unshown != EVIDENCE:
        raise ConfigurationError(
            f"the token does not keep the key inside; it claims only {sorted(claimed)}",
            setting="keystore",
            hint="its policy or mode overrides what was asked for; the key was deleted again",
        )
