"""``sealwright init``: a new installation: root, log, signer identity; keys come later, a partition each."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import Envelope, SignedDocument
from sealwright.core.errors import ConfigurationError
from sealwright.policy.documents import (
    DAY_SECONDS,
    Administrator,
    Authenticator,
    Grade,
    LogIdentity,
    LogMlDsaKey,
    Root,
    SignerIdentity,
)
from sealwright.policy.entries import GrantingEntry
from sealwright.policy.roots import check_root, open_first_root
from sealwright.service.dossier import trust_file
from sealwright.service.ledger import Ledger
from sealwright.signer.heads import FileHeadStore
from sealwright.signer.ports import Head
from sealwright.storage.documents import Documents
from sealwright.storage.log import LogStore
from sealwright.translog.merkle import leaf_hash, root_of
from sealwright.translog.notes import NoteSigner
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import KEY_FILES, Configuration, KeystoreSetting
from sealwright.wiring.folders import building, check_new, write_secret

ROOT_LIFETIME_SECONDS = 1095 * DAY_SECONDS
ORIGIN = re.compile(r"[a-z0-9][a-z0-9./-]{0,127}")
SignRoot = Callable[[str, bytes], Envelope]
"""(administrator id, root bytes) -> the administrator's envelope over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What an administrator decides when an installation is made."""

    folder: Path
    origin: str
    administrators: Sequence[tuple[str, str]]
    """Person id and OpenSSH public key line."""
    threshold: int
    grade: Grade
    host: str
    port: int
    now: int
    keystore: KeystoreSetting = KEY_FILES


def create(founding: Founding, sign: SignRoot) -> Configuration:
    """Make the installation in a new or empty folder; nothing is left behind when it fails."""
    folder = founding.folder.absolute()
    check_new(folder)
    if not ORIGIN.fullmatch(founding.origin):
        raise ConfigurationError(
            f"{founding.origin[:100]!r} cannot name a log",
            setting="--origin",
            hint="lower-case letters, digits, dots, dashes and slashes, as log.example.com/firmware",
        )
    log_signer = NoteSigner(founding.origin, Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
    identity = Ed25519PrivateKey.generate()
    root = _root(founding, log_signer, identity)
    check_root(root)
    document = records.serialise(root)
    records.parse(Root, document)  # names and limits are refused before anybody signs
    settings.check(_configuration(founding, folder, document))
    signed = SignedDocument(
        document=document, signatures=tuple(sign(person, document) for person, _ in founding.administrators)
    )
    open_first_root(signed)
    with building(folder) as draft:
        configuration = _configuration(founding, draft, document)
        _write_log_keys(draft / "server", log_signer)
        write_secret(draft / "signer" / "identity", identity.private_bytes_raw().hex())
        Documents.create(configuration.documents_database)
        entry = GrantingEntry(entry="root", format=1, signed=signed)
        _found_log(configuration, log_signer, entry)
        # The signer's memory begins with the root's entry, so that no other log can be its first.
        pinned = Head(size=1, root_hash=root_of([leaf_hash(records.serialise(entry))]).hex(), time=founding.now)
        FileHeadStore(configuration.signer_head).create(pinned)
        settings.write(configuration)
    return settings.load(folder)


def _configuration(founding: Founding, folder: Path, root: bytes) -> Configuration:
    return Configuration(
        folder=folder,
        instance=document_digest("root", NO_INSTANCE, root),
        origin=founding.origin,
        host=founding.host,
        port=founding.port,
        log_key=f"file:{folder / 'server' / 'log-key'}",
        log_ml_dsa_key=f"file:{folder / 'server' / 'log-ml-dsa-key'}",
        signer_id="signer-1",
        signer_identity=f"file:{folder / 'signer' / 'identity'}",
        partitions={},
        keystore=settings.in_folder(founding.keystore, folder),
    )


def _root(founding: Founding, log_signer: NoteSigner, identity: Ed25519PrivateKey) -> Root:
    return Root(
        type="root",
        format=1,
        salt=secrets.token_hex(32),
        version=1,
        previous=NO_INSTANCE,
        administrators=tuple(
            Administrator(person=person, authenticators=(Authenticator(key=key),))
            for person, key in founding.administrators
        ),
        threshold=founding.threshold,
        logs=(
            LogIdentity(
                origin=founding.origin,
                key=str(log_signer.verifier_key),
                first_size=0,
                ml_dsa=LogMlDsaKey(key=str(log_signer.ml_dsa_verifier_key), first_size=0),
            ),
        ),
        signers=(SignerIdentity(id="signer-1", key=identity.public_key().public_bytes_raw(), valid_from=0),),
        witnesses=(),
        witness_quorum=0,
        timestamp_anchors=(),
        grade=founding.grade,
        created=founding.now,
        expires=founding.now + ROOT_LIFETIME_SECONDS,
    )


def _write_log_keys(folder: Path, signer: NoteSigner) -> None:
    write_secret(folder / "log-key", signer.private_key.private_bytes_raw().hex())
    if signer.ml_dsa_key is not None:
        write_secret(folder / "log-ml-dsa-key", signer.ml_dsa_key.private_bytes_raw().hex())


def _found_log(configuration: Configuration, signer: NoteSigner, entry: GrantingEntry) -> None:
    documents = Documents(configuration.documents_database)
    with LogStore.create(configuration.log_database, signer=signer, guard_directory=configuration.guard) as log:
        ledger = Ledger(instance=configuration.instance, log=log, documents=documents)
        ledger.append([entry])
        configuration.trust_file.write_bytes(records.serialise(trust_file(ledger)))
    documents.close()
