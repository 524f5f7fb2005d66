"""One session on one PKCS#11 token: log in, find, read, make, sign.

Templates and mechanisms take any number, so a vendor's mechanism with its own parameter structure needs no change here.
Reference: OASIS PKCS #11 Specification Version 3.1, sections 5.6 to 5.13 and 5.18.
"""

import ctypes
from collections.abc import Callable, Mapping
from ctypes import byref, c_ulong
from functools import lru_cache
from typing import Any, NamedTuple

from sealwright.core.errors import Code, ConfigurationError, UnavailableError
from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores.pkcs11_module import CryptokiError, Module
from sealwright.keystores.secrets import Secret

MAX_SIGNATURE_BYTES = 64 * 1024
MAX_OBJECTS = 20_000
_FIND_AT_ONCE = 256

Template = Mapping[int, bytes | bool | int]
"""Attribute type to value; ``bool`` is a CK_BBOOL, ``int`` a CK_ULONG."""


class Mechanism(NamedTuple):
    """Any mechanism number, with its parameter structure as raw bytes."""

    number: int
    parameter: bytes = b""


class Session:
    """One session on one token."""

    def __init__(self, module: Module, slot: int, *, writable: bool) -> None:
        self.module = module
        handle = c_ulong()
        flags = abi.CKF_SERIAL_SESSION | (abi.CKF_RW_SESSION if writable else 0)
        module.call("C_OpenSession", slot, flags, None, None, byref(handle))
        self._handle = handle.value
        self._buffer = ctypes.create_string_buffer(MAX_SIGNATURE_BYTES)
        self._sign_init, self._sign = module.function("C_SignInit"), module.function("C_Sign")

    def close(self) -> None:
        """Close the session; the last one of a process on a token ends the login."""
        self.module.function("C_CloseSession")(self._handle)

    def login(self, user: int, pin: Secret) -> None:
        """Log in once."""
        value = pin.reveal()
        self.module.call("C_Login", self._handle, user, value, len(value))

    def logout(self) -> None:
        """Log out."""
        self.module.call("C_Logout", self._handle)

    def set_user_pin(self, pin: Secret) -> None:
        """Give the token its user PIN; the security officer is logged in."""
        value = pin.reveal()
        self.module.call("C_InitPIN", self._handle, value, len(value))

    def find(self, template: Template) -> list[int]:
        """Return the handles of the objects that match."""
        attributes, count = _attributes(template)
        self.module.call("C_FindObjectsInit", self._handle, attributes, count)
        found: list[int] = []
        handles, filled = (c_ulong * _FIND_AT_ONCE)(), c_ulong(1)
        while filled.value and len(found) <= MAX_OBJECTS:
            self.module.call("C_FindObjects", self._handle, handles, _FIND_AT_ONCE, byref(filled))
            found += handles[: filled.value]
        self.module.call("C_FindObjectsFinal", self._handle)
        if len(found) > MAX_OBJECTS:
            raise ConfigurationError(f"the token holds more than {MAX_OBJECTS} objects", setting="keystore")
        return found

    def attribute(self, handle: int, number: int) -> bytes | None:
        """Read an attribute; None when the token does not have it or does not show it."""
        wanted = (abi.AttributeStructure * 1)(abi.AttributeStructure(number, None, 0))
        try:
            self.module.call("C_GetAttributeValue", self._handle, handle, wanted, 1)
            if wanted[0].length == abi.UNAVAILABLE_INFORMATION or wanted[0].length > MAX_SIGNATURE_BYTES:
                return None
            value = ctypes.create_string_buffer(max(wanted[0].length, 1))
            wanted[0].value = ctypes.cast(value, ctypes.c_void_p)
            self.module.call("C_GetAttributeValue", self._handle, handle, wanted, 1)
        except CryptokiError as e:
            if e.answer in (abi.CKR_ATTRIBUTE_SENSITIVE, abi.CKR_ATTRIBUTE_TYPE_INVALID):
                return None
            raise
        return value.raw[: wanted[0].length]

    def set_attributes(self, handle: int, template: Template) -> None:
        """Change attributes of an object."""
        attributes, count = _attributes(template)
        self.module.call("C_SetAttributeValue", self._handle, handle, attributes, count)

    def create(self, template: Template) -> int:
        """Store an object and return its handle."""
        attributes, count = _attributes(template)
        handle = c_ulong()
        self.module.call("C_CreateObject", self._handle, attributes, count, byref(handle))
        return handle.value

    def destroy(self, handle: int) -> None:
        """Delete an object."""
        self.module.call("C_DestroyObject", self._handle, handle)

    def generate_key_pair(self, mechanism: Mechanism, public: Template, private: Template) -> tuple[int, int]:
        """Make a key pair on the token; return the handles of its public and its private half."""
        public_attributes, public_count = _attributes(public)
        private_attributes, private_count = _attributes(private)
        public_handle, private_handle = c_ulong(), c_ulong()
        self.module.call(
            "C_GenerateKeyPair",
            self._handle,
            _mechanism(mechanism),
            public_attributes,
            public_count,
            private_attributes,
            private_count,
            byref(public_handle),
            byref(private_handle),
        )
        return public_handle.value, private_handle.value

    def signing(self, handle: int, mechanism: Mechanism) -> Callable[[bytes], bytes]:
        """Return what signs in one part; the token's own encoding."""
        begin, finish, session, buffer = self._sign_init, self._sign, self._handle, self._buffer
        how, length = _mechanism(mechanism), c_ulong()
        at = byref(length)

        def sign(payload: bytes) -> bytes:
            length.value = MAX_SIGNATURE_BYTES
            if answer := begin(session, how, handle):
                raise CryptokiError("C_SignInit", answer)
            if answer := finish(session, payload, len(payload), buffer, at):
                raise CryptokiError("C_Sign", answer)
            if length.value > MAX_SIGNATURE_BYTES:  # it would be read from behind the buffer
                raise UnavailableError(
                    f"C_Sign claims a signature of {length.value} bytes", code=Code.KEYSTORE_UNAVAILABLE
                )
            return ctypes.string_at(buffer, length.value)

        return sign


def init_token(module: Module, slot: int, label: str, so_pin: Secret, user_pin: Secret) -> None:
    """Initialise the token in a slot, wiping what it holds, and give it its PINs."""
    value = so_pin.reveal()
    module.call("C_InitToken", slot, value, len(value), label.encode().ljust(32))
    session = Session(module, slot, writable=True)
    try:
        session.login(abi.CKU_SO, so_pin)
        session.set_user_pin(user_pin)
        session.logout()
    finally:
        session.close()


@lru_cache(maxsize=64)
def _mechanism(mechanism: Mechanism) -> abi.MechanismStructure:
    parameter = ctypes.create_string_buffer(mechanism.parameter, len(mechanism.parameter) or 1)
    structure = abi.MechanismStructure(mechanism.number, None, len(mechanism.parameter))
    if mechanism.parameter:
        structure.parameter = ctypes.cast(parameter, ctypes.c_void_p)
        structure.keep = parameter  # as long as the structure that points into it
    return structure


def _attributes(template: Template) -> tuple[Any, int]:
    array = (abi.AttributeStructure * max(len(template), 1))()
    array.keep = []  # type: ignore[attr-defined]  # the values live as long as the array that points at them
    for place, (number, value) in enumerate(template.items()):
        data = _encode(value)
        buffer = ctypes.create_string_buffer(data, max(len(data), 1))
        array.keep.append(buffer)  # type: ignore[attr-defined]
        array[place] = abi.AttributeStructure(number, ctypes.cast(buffer, ctypes.c_void_p), len(data))
    return array, len(template)


def _encode(value: bytes | bool | int) -> bytes:
    if isinstance(value, bytes):
        return value
    return bytes([value]) if isinstance(value, bool) else bytes(c_ulong(value))
