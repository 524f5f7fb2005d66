"""OVMF with Secure Boot on and our own keys starts what we sign, and nothing else; the console is the witness."""

import hashlib
from pathlib import Path

import pytest
from tests.formats.efi_images import RSA, checksum_by_the_book, put, sign, signed_by_all
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import ovmf
from tests.verifiers.ovmf import OWNER

from sealwright.core.errors import VerificationError
from sealwright.core.images import MemorySource
from sealwright.formats import pe, pe_layout

pytestmark = pytest.mark.slow

PLATFORM = signer(RSA, "platform key")
EXCHANGE = signer(RSA, "key exchange key")
MAKER = signer(RSA, "maker")
STRANGER = signer(RSA, "stranger")
SECOND = signer(RSA, "second", 3072)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Variables with our PK, KEK and db, Secure Boot on: the one trust anchor of all tests here."""
    folder = tmp_path_factory.mktemp("keys")
    keys = ["--set-pk", OWNER, str(PLATFORM.anchor(folder)), "--add-kek", OWNER, str(EXCHANGE.anchor(folder))]
    return ovmf.variables(folder, *keys, "--add-db", OWNER, str(MAKER.anchor(folder)), "--sb")


@pytest.fixture(scope="module")
def signed() -> bytes:
    return sign(ovmf.program("hello"), MAKER)


def also(store: Path, folder: Path, *changes: str) -> Path:
    """Copy the store and change the copy."""
    (folder / "variables.fd").write_bytes(store.read_bytes())
    return ovmf.variables(folder, *changes)


def test_ovmf_boots_what_we_sign(store: Path, signed: bytes) -> None:
    boot = ovmf.boot(signed, store)
    assert "SEALWRIGHT-HELLO SecureBoot=1 SetupMode=0" in boot.console
    assert not boot.is_refused


def test_ovmf_refuses_to_boot_a_stripped_signature(store: Path) -> None:
    assert ovmf.boot(ovmf.program("hello"), store).is_refused


def test_ovmf_refuses_to_boot_a_program_of_a_stranger(store: Path) -> None:
    assert ovmf.boot(sign(ovmf.program("hello"), STRANGER), store).is_refused


def test_ovmf_refuses_to_boot_a_flipped_payload_with_its_checksum_recomputed(store: Path, signed: bytes) -> None:
    found = pe_layout.read(MemorySource(signed))
    at = signed.index("SEALWRIGHT-HELLO".encode("utf-16-le"))
    forged = flipped(signed, at)
    forged = put(forged, found.checksum_at, checksum_by_the_book(forged, found.checksum_at).to_bytes(4, "little"))
    assert ovmf.boot(forged, store).is_refused


def test_ovmf_refuses_to_boot_with_a_flipped_signature(store: Path, signed: bytes) -> None:
    (der,) = pe_layout.read_certificates(MemorySource(signed), table_of(signed))
    assert ovmf.boot(flipped(signed, signed.index(der) + len(der) - 100), store).is_refused


def test_ovmf_refuses_to_boot_what_dbx_names_by_hash_and_boots_another(
    store: Path, signed: bytes, tmp_path: Path
) -> None:
    """The hash of the parts that ``inspect`` calls covered is the one by which firmware knows the program."""
    covered = b"".join(signed[part.start : part.stop] for part in pe.inspect(MemorySource(signed)).covered)
    revoked = also(store, tmp_path, "--add-dbx-hash", OWNER, hashlib.sha256(covered).hexdigest())
    assert ovmf.boot(signed, revoked).is_refused
    assert ovmf.boot(sign(ovmf.program("set_variable"), MAKER), revoked).ran


def test_ovmf_refuses_to_boot_what_dbx_names_by_certificate_and_boots_another(
    store: Path, signed: bytes, tmp_path: Path
) -> None:
    anchors = ["--add-db", OWNER, str(SECOND.anchor(tmp_path))]
    revoked = also(store, tmp_path, *anchors, "--add-dbx-cert", OWNER, str(MAKER.anchor(tmp_path)))
    assert ovmf.boot(signed, revoked).is_refused
    assert ovmf.boot(sign(ovmf.program("hello"), SECOND), revoked).ran


def test_ovmf_boots_two_signatures_of_which_the_second_is_known(store: Path) -> None:
    both = sign(sign(ovmf.program("hello"), STRANGER), MAKER, existing="append")
    assert ovmf.boot(both, store).ran
    assert ovmf.boot(flipped(both, both.index("SEALWRIGHT-HELLO".encode("utf-16-le"))), store).is_refused


def test_ovmf_boots_a_program_that_two_keys_signed_at_once_with_either_in_db(store: Path, tmp_path: Path) -> None:
    both = signed_by_all(ovmf.program("hello"), MAKER, SECOND)
    assert ovmf.boot(both, store).ran
    other = ovmf.variables(tmp_path, *keys_of(tmp_path, SECOND))
    assert ovmf.boot(both, other).ran


def test_ovmf_refuses_to_boot_two_signatures_of_which_dbx_names_one(store: Path, tmp_path: Path) -> None:
    """dbx wins over db: a second signature does not outlive the revocation of the first."""
    both = signed_by_all(ovmf.program("hello"), MAKER, SECOND)
    revoked = also(store, tmp_path, "--add-dbx-cert", OWNER, str(SECOND.anchor(tmp_path)))
    assert ovmf.boot(both, revoked).is_refused


def test_without_secure_boot_ovmf_boots_anything(tmp_path: Path) -> None:
    """The known fail-open: no PK, no verification; we refuse the same program."""
    unsigned = ovmf.program("hello")
    assert "SecureBoot=0 SetupMode=1" in ovmf.boot(unsigned, ovmf.variables(tmp_path)).console
    with pytest.raises(VerificationError, match="no signature"):
        pe.verify(MemorySource(unsigned), MAKER.trust, {})


def keys_of(folder: Path, who: Signer) -> list[str]:
    anchor = str(who.anchor(folder))
    return ["--set-pk", OWNER, anchor, "--add-kek", OWNER, anchor, "--add-db", OWNER, anchor, "--sb"]


def table_of(signed: bytes) -> pe_layout.Range:
    table = pe_layout.read(MemorySource(signed)).table
    assert table is not None
    return table
