"""OVMF with Secure Boot on takes our signed updates of its variables, and no others."""

import hashlib
from pathlib import Path

import pytest
from tests.formats.efi_images import RSA, sign
from tests.formats.efi_variables import KEK, NOW, SHA256, STRANGER, certificates, lists, update
from tests.formats.flips import flipped
from tests.formats.throwaway import signer
from tests.verifiers import ovmf
from tests.verifiers.ovmf import OWNER

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import pe, targets, uefi, uefi_variable
from sealwright.formats.uefi_variable import APPEND_WRITE, ATTRIBUTES, Variable

pytestmark = pytest.mark.slow

MAKER, PLATFORM = signer(RSA, "maker"), signer(RSA, "platform key")
TAKEN, REFUSED, INVALID = "Success", "Security Policy Violation", "Invalid Parameter"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keys = ["--set-pk", OWNER, str(PLATFORM.anchor(folder)), "--add-kek", OWNER, str(KEK.anchor(folder))]
    return ovmf.variables(folder, *keys, "--add-db", OWNER, str(MAKER.anchor(folder)), "--sb")


def call(variable: Variable, data: bytes, *, append: bool) -> bytes:
    """What the program in OVMF reads: the arguments of one SetVariable."""
    attributes = ATTRIBUTES | (APPEND_WRITE if append else 0)
    name = variable.encode("utf-16-le").ljust(32, b"\0")
    return attributes.to_bytes(4, "little") + name + uefi.guid(variable.vendor) + data


def test_ovmf_boots_takes_our_updates_and_refuses_flipped_and_foreign_ones(store: Path) -> None:
    """One boot, many calls of SetVariable; the last ones go on from what the ones before left."""
    new = certificates(signer(RSA, "second"))
    good = update(new, append=True)
    evil = update(new, STRANGER, append=True)
    db, dbx, kek, pk = Variable.DB, Variable.DBX, Variable.KEK, Variable.PK
    hashes = lists(SHA256, bytes(32))
    elliptic = certificates(signer(Algorithm.ECDSA_P256_SHA256, "elliptic"))
    bad_db, bad_dbx = (update(new + elliptic, variable=name, append=True) for name in ("db", "dbx"))
    bad_kek = update(elliptic, PLATFORM, "KEK", append=True)
    calls = [
        (call(db, evil, append=True), REFUSED),
        (call(db, new, append=True), REFUSED),  # stripped: no authentication header at all
        (call(db, flipped(good, len(good) - 1), append=True), REFUSED),
        (call(db, flipped(good, 6), append=True), REFUSED),  # another time
        (call(dbx, good, append=True), REFUSED),  # signed for another variable
        (call(db, good, append=False), REFUSED),  # signed with other attributes
        (call(db, good, append=True), TAKEN),
        (call(dbx, update(hashes, variable="dbx", append=True), append=True), TAKEN),
        (call(db, update(new, timestamp=NOW + 1), append=False), TAKEN),  # replaces
        (call(db, update(new, timestamp=NOW + 1), append=False), REFUSED),  # not later than what is there
        (call(kek, update(new, variable="KEK", append=True), append=True), REFUSED),  # KEK wants the platform key
        (call(kek, update(new, PLATFORM, "KEK", append=True), append=True), TAKEN),
        *((call(each, data, append=True), INVALID) for each, data in ((db, bad_db), (dbx, bad_dbx), (kek, bad_kek))),
        (call(pk, update(elliptic, PLATFORM, "PK"), append=False), INVALID),
        (call(pk, update(new, STRANGER, "PK"), append=False), REFUSED),
        (call(pk, update(new, PLATFORM, "PK"), append=False), TAKEN),
    ]
    files = {f"update{n}.bin": data for n, (data, _) in enumerate(calls, 1)}
    boot = ovmf.boot(sign(ovmf.program("set_variable"), MAKER), store, files, refused=("Access Denied",))
    said = [line.split(": ", 2)[2] for line in boot.console.splitlines() if "SEALWRIGHT-UPDATE" in line]
    assert len(said) == len(calls), boot.console
    for number, (line, (_, expected)) in enumerate(zip(said, calls, strict=True), 1):
        assert line.startswith(expected), f"update {number}: {line}"
    before = len(certificates(MAKER))
    assert said[6].endswith(f"{before} to {before + len(new)} bytes")
    assert said[0].endswith(f"{before} to {before} bytes")
    for variable in Variable:
        chosen = {"variable": str(variable), "timestamp": NOW}
        assert uefi_variable.prepare(MemorySource(new), [KEK.signing_key()], chosen, targets.OVMF)
        with pytest.raises(FormatError, match="target ovmf takes no certificate of a key of kind ec: entry 1") as e:
            uefi_variable.prepare(MemorySource(elliptic), [KEK.signing_key()], chosen, targets.OVMF)
        assert e.value.code is Code.TARGET_CANNOT_VERIFY


def test_ovmf_refuses_to_boot_what_our_update_of_dbx_revoked(store: Path, tmp_path: Path) -> None:
    """virt-fw-vars puts our update into dbx unlooked; what counts here is how the firmware reads its contents."""
    hello = sign(ovmf.program("hello"), MAKER)
    covered = b"".join(hello[part.start : part.stop] for part in pe.inspect(MemorySource(hello)).covered)
    signed = update(lists(SHA256, hashlib.sha256(covered).digest()), variable="dbx", append=True)
    (tmp_path / "dbx.auth").write_bytes(signed)
    (tmp_path / "variables.fd").write_bytes(store.read_bytes())
    revoked = ovmf.variables(tmp_path, "--add-dbx", str(tmp_path / "dbx.auth"))
    assert ovmf.boot(hello, store).ran
    assert ovmf.boot(hello, revoked).is_refused
