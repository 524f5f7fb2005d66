"""A PKCS#11 module in this process, over ctypes: loading, calling, and what its answers mean.

The module is told that threads exist (CKF_OS_LOCKING_OK): one initialised without is allowed to crash under them, and
one does.  Still only one thread works with it, in a process of its own.  ctypes gives up the interpreter lock in calls.
Reference: OASIS PKCS #11 Specification Version 3.1, sections 5.4 and 5.5.
"""

import ctypes
import threading
from ctypes import byref, c_ulong
from typing import Any, NamedTuple

from sealwright.core.errors import Code, ConfigurationError, SealwrightError, UnavailableError
from sealwright.keystores import pkcs11_abi as abi


class CryptokiError(Exception):
    """A call did not answer CKR_OK; ``family`` tells what that means for the caller."""

    def __init__(self, function: str, answer: int) -> None:
        names = abi.CREDENTIAL_ERRORS | abi.CONFIGURATION_ERRORS | abi.UNAVAILABLE_ERRORS
        super().__init__(f"{function} answered {names.get(answer, 'a code unknown here')} ({answer:#x})")
        self.answer = answer

    def family(self) -> SealwrightError:
        """Return the error of ours: credential, configuration, or (every other code) unavailable."""
        if self.answer in abi.CREDENTIAL_ERRORS:
            return ConfigurationError(str(self), setting="pin", code=Code.CREDENTIAL)
        if self.answer in abi.CONFIGURATION_ERRORS:
            return ConfigurationError(str(self), setting="keystore")
        return UnavailableError(str(self), code=Code.KEYSTORE_UNAVAILABLE)


class Token(NamedTuple):
    """An initialised or free token in a slot."""

    slot: int
    label: str
    serial: str
    flags: int


class Module:
    """A loaded and initialised module; make it with ``load``, give it back with ``release``."""

    _lock = threading.Lock()
    _loaded: dict[str, "Module"] = {}  # noqa: RUF012  # C_Initialize is once per process, and so is this

    def __init__(self, path: str) -> None:
        self._users = 0
        self.unread: list[CryptokiError] = []
        try:
            table = ctypes.POINTER(abi.FunctionList)()
            answer = ctypes.CDLL(path).C_GetFunctionList(byref(table))
        except (OSError, AttributeError) as e:
            raise ConfigurationError(f"{path} is not a PKCS#11 module: {e}", setting="module-path") from e
        if answer:
            raise CryptokiError("C_GetFunctionList", answer)
        self._functions: dict[str, Any] = {
            name: ctypes.CFUNCTYPE(c_ulong, *arguments)(table.contents.functions[index])
            for name, (index, arguments) in abi.FUNCTIONS.items()
            if table.contents.functions[index]  # a module may leave out what it does not do
        }

    @classmethod
    def load(cls, path: str) -> "Module":
        """Return the module of this path, initialised; every ``load`` needs its ``release``."""
        with cls._lock:
            module = cls._loaded.get(path) or cls(path)
            module.acquire()
            cls._loaded[path] = module
            return module

    def acquire(self) -> None:
        """Count one more user and initialise the module for the first one."""
        if self._users == 0:
            arguments = abi.InitializeArguments(flags=abi.CKF_OS_LOCKING_OK)
            try:
                self.call("C_Initialize", byref(arguments))
            except CryptokiError as e:
                if e.answer != abi.CKR_CRYPTOKI_ALREADY_INITIALIZED:
                    raise
        self._users += 1

    def release(self) -> None:
        """Finalise the module when nobody uses it any more; only this makes a lost token usable again."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.function("C_Finalize")(None)  # a module in trouble cannot do more than say so

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; ``CryptokiError`` unless it answers CKR_OK."""
        if answer := self.function(name)(*arguments):
            raise CryptokiError(name, answer)

    def function(self, name: str) -> Any:
        """Return the bare function, which answers a number; for the one loop where the look-up shows."""
        if name not in self._functions:
            raise CryptokiError(name, abi.CKR_FUNCTION_NOT_SUPPORTED)
        return self._functions[name]

    def tokens(self) -> list[Token]:
        """Return the tokens in all slots, also those not initialised; those that do not answer are ``unread``."""
        count = c_ulong()
        self.call("C_GetSlotList", 1, None, byref(count))
        slots = (c_ulong * count.value)()
        self.call("C_GetSlotList", 1, slots, byref(count))
        found, self.unread = list[Token](), list[CryptokiError]()
        for slot in slots[: count.value]:
            try:
                found.append(self._token(slot))
            except CryptokiError as e:  # somebody else's token in trouble is no reason not to find ours
                self.unread.append(e)
        return found

    def _token(self, slot: int) -> Token:
        info = abi.TokenInfo()
        self.call("C_GetTokenInfo", slot, byref(info))
        label, serial = (
            bytes(text).decode("utf-8", "replace").rstrip(" \0") for text in (info.label, info.serial_number)
        )
        return Token(slot=slot, label=label, serial=serial, flags=info.flags)
