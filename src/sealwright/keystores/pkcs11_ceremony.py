"""What a written ceremony asks of a token beyond making keys: its own data, and what an interruption left behind.

C_GenerateKeyPair makes two objects, which then get their name: a process that is killed can leave one of them, or two
that do not have the same CKA_ID.  Here they are found by their label, which the ceremony had made sure nobody used.
"""

from collections.abc import Mapping
from ctypes import byref
from pathlib import Path

from sealwright.core.errors import VerificationError
from sealwright.core.keys import Algorithm
from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores import pkcs11_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.interface import (
    CertificateTemplate,
    CreatedKey,
    Grade,
    ModuleFacts,
    key_not_found,
    not_one_key,
)
from sealwright.keystores.pkcs11 import (
    Pkcs11Ceremony,
    _check_kept_inside,
    _destroyed_on_failure,
    _name_by_hash,
    _translated,
)

_HALVES = {"public key": abi.CKO_PUBLIC_KEY, "private key": abi.CKO_PRIVATE_KEY}


class ScriptedPkcs11Ceremony(Pkcs11Ceremony):
    """A token open for a written ceremony."""

    def describe(self) -> ModuleFacts:
        """Return what C_GetTokenInfo says."""
        device = self._login.device
        module, info = self._login.session.module, abi.TokenInfo()
        with _translated():
            module.call("C_GetTokenInfo", self._login._find(module).slot, byref(info))  # noqa: SLF001
        manufacturer, model, serial = (
            bytes(text).decode("utf-8", "replace").rstrip(" \0")
            for text in (info.manufacturer, info.model, info.serial_number)
        )
        version = info.firmware_version
        return ModuleFacts(
            device=device.name,
            is_tried=device.is_tried,
            manufacturer=manufacturer,
            model=model,
            serial=serial,
            firmware=f"{version.major}.{version.minor}",
            unshown=device.unshown,
        )

    def remains(self, label: str) -> tuple[str, ...]:
        """Name the objects with this label, with the ids that other tools know them by."""
        session = self._login.session
        with _translated():
            return tuple(
                f"{half} object with CKA_ID {(session.attribute(handle, abi.CKA_ID) or b'').hex() or 'none'}"
                for half in _HALVES
                for handle in self._labelled(half, label)
            )

    def take_up(self, label: str, algorithm: Algorithm, certificate: CertificateTemplate) -> CreatedKey:
        """Name the two halves as ``create_key`` would have; a signature shows that they belong together."""
        session, device = self._login.session, self._login.device
        with _translated():
            halves = [self._labelled(half, label) for half in _HALVES]
            if [len(handles) for handles in halves] != [1, 1]:
                raise not_one_key(label, self.remains(label))
            key = _name_by_hash(session, device, (halves[0][0], halves[1][0]))
            key.public_key.check_algorithm(algorithm)
            attributes = pkcs11_keys.read_evidence(session, key.private_handle)
            with _destroyed_on_failure(session, (halves[0][0], halves[1][0])):
                _check_kept_inside(attributes, device)
            try:
                der = self_signed(
                    key.public_key,
                    algorithm,
                    lambda p: pkcs11_keys.sign(session, device, key, algorithm, p),
                    certificate,
                )
            except VerificationError:
                raise not_one_key(label, self.remains(label)) from None
        return CreatedKey(
            label=label,
            public_key=key.public_key,
            grade=Grade.HARDWARE_CLAIMED,
            certificates=(der,),
            attributes=attributes,
        )

    def read_back(self, fingerprint: str) -> Mapping[str, bool]:
        """Ask for the evidence attributes anew."""
        session = self._login.session
        with _translated():
            if (key := pkcs11_keys.find_keys(session).get(fingerprint)) is None:
                raise key_not_found(fingerprint)
            return pkcs11_keys.read_evidence(session, key.private_handle)

    def discard(self, label: str) -> None:
        """Delete both halves, or the one that is there."""
        with _translated():
            for half in _HALVES:
                for handle in self._labelled(half, label):
                    self._login.session.destroy(handle)

    def sealed_files(self, fingerprint: str) -> tuple[Path, ...]:  # noqa: ARG002
        """No file: nothing leaves a token."""
        return ()

    def _labelled(self, half: str, label: str) -> list[int]:
        return self._login.session.find(
            {abi.CKA_CLASS: _HALVES[half], abi.CKA_TOKEN: True, abi.CKA_LABEL: label.encode()}
        )
