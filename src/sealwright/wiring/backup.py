"""``sealwright backup`` and ``restore``: copies that can be read at any time, and go on only where that forks nothing.

A backup is a folder with a manifest.  What makes an installation go on is not in it: the guard and the signer's memory
say what was published since, so an old one of them would be worse than none; log key, identity and passphrases are
secrets, kept elsewhere.  See ``docs/operate/backup.md``.
"""

import hashlib
import os
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, FormatError, RefusedError, VerificationError
from sealwright.core.records import Bounds, Count, Digest, Time
from sealwright.keystores.files import COUNTERS_FILE
from sealwright.keystores.files_partition import PARTITION_FILE
from sealwright.policy.sections import load_complete
from sealwright.signer.heads import FileHeadStore, peek
from sealwright.signer.ports import Head
from sealwright.storage import documents_copy, log_guard
from sealwright.storage.log import LogStore
from sealwright.storage.log_database import sync_directory
from sealwright.storage.log_reader import LogReader
from sealwright.translog.checkpoints import Checkpoint
from sealwright.wiring import configuration as settings
from sealwright.wiring.access import files_of
from sealwright.wiring.configuration import FILE_NAME, Configuration
from sealwright.wiring.doctor_records import replay
from sealwright.wiring.folders import building, check_new
from sealwright.wiring.private_keys import read_note_signer
from sealwright.wiring.stateful_counters import folder_of, is_lost, stateful_keys

MANIFEST = "backup.json"
MAX_MANIFEST_BYTES = 16 << 20
LOG, DOCUMENTS, IMAGES, KEYS, TRUST = (
    "server/log.db",
    "server/documents.db",
    "server/images",
    "signer/keys",
    "trust.json",
)
SECRET_FILES = ("server/log-key", "server/log-ml-dsa-key", "signer/identity")
WAYS = (
    "say what is known beyond the backup: --replacing DIR takes guard, signer memory and secrets from the installation "
    "that this one replaces; --as-of SIZE:HASH gives the newest state that anybody outside has seen"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUpFile:
    """One file but an image, which is named by its own digest."""

    path: Annotated[str, Bounds(1, 400)]
    sha256: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    type: Literal["backup"]
    format: Literal[1]
    instance: Digest
    origin: str
    size: Count
    root_hash: Digest
    time: Time
    files: Annotated[tuple[BackedUpFile, ...], Bounds(1, 65536)]
    left_out: Annotated[tuple[str, ...], Bounds(0, 65536)] | None = None
    """Partitions whose keys are not in it; older backups do not say."""


def back_up(configuration: Configuration, destination: Path, *, with_keys: bool) -> Manifest:
    """Copy a running or stopped installation into a new folder, which appears whole or not at all."""
    if destination.exists():
        raise RefusedError(f"{destination} exists", code=Code.CONFLICT, hint="name a new folder for the backup")
    if destination.resolve().is_relative_to(configuration.folder):
        raise RefusedError(
            f"{destination} lies inside the instance, and would be lost with it",
            code=Code.CONFLICT,
            hint="name a folder elsewhere, best on another disk",
        )
    draft = destination.with_name(f".{destination.name}.new")
    shutil.rmtree(draft, ignore_errors=True)  # of a backup that was cut short
    try:
        (draft / "server").mkdir(mode=0o700, parents=True)
        draft.chmod(0o700)
    except OSError as e:
        raise ConfigurationError(
            f"no backup can be made in {destination.parent.absolute()}: {e.strerror}",
            setting="DESTINATION",
            hint="name a new folder in a place that can be written to",
        ) from None
    try:
        # The log first: the database is never behind it, so nothing that the copied log speaks of is missing.
        with LogReader(configuration.log_database) as log:
            log.backup(draft / LOG)
        documents_copy.back_up(configuration.documents_database, draft / DOCUMENTS)
        copy_tree(configuration.images, draft / IMAGES)
        shutil.copy(configuration.folder / FILE_NAME, draft / FILE_NAME)
        shutil.copy(configuration.trust_file, draft / TRUST)
        if with_keys:
            copy_tree(configuration.keys, draft / KEYS)
        head = _verify_log(draft / LOG, configuration)
        manifest = Manifest(
            type="backup",
            format=1,
            instance=configuration.instance,
            origin=configuration.origin,
            size=head.size,
            root_hash=head.root.hex(),
            time=int(time.time()),
            files=tuple(BackedUpFile(path=str(p.relative_to(draft)), sha256=_sha256(p)) for p in _listed(draft)),
            left_out=tuple(_left_out(configuration, with_keys=with_keys)),
        )
        (draft / MANIFEST).write_bytes(records.serialise(manifest))
        _make_durable(draft)
        draft.rename(destination)
        sync_directory(destination.absolute().parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def read_backup(source: Path) -> Manifest:
    """Check a backup against its manifest, and every image against its name."""
    try:
        manifest = records.parse(Manifest, (source / MANIFEST).read_bytes(), max_bytes=MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise ConfigurationError(f"{source} holds no backup", setting="SOURCE", hint=f"it has no {MANIFEST}") from None
    except FormatError as e:
        raise FormatError(f"{source / MANIFEST}: {e.message}", code=Code.INVALID_DOCUMENT) from None
    expected = {file.path: file.sha256 for file in manifest.files}
    found = {str(path.relative_to(source)): path for path in _listed(source) if path.name != MANIFEST}
    for name in sorted(expected.keys() | found.keys()):
        _compare(name, expected.get(name, "no such file"), _sha256(found[name]) if name in found else "no file")
    known = tomllib.loads((source / FILE_NAME).read_text()).get("partitions", {})  # whose digest is right
    for name in manifest.left_out or ():
        _compare(f"partition {name}", "one of the settings", "one of the settings" if name in known else "another")
    for image in _files(source / IMAGES):
        _compare(f"image {image.name}", image.name, _sha256(image))
    return manifest


def restore(
    source: Path, folder: Path, *, replacing: Path | None = None, as_of: tuple[int, str] | None = None
) -> tuple[Configuration, list[str]]:
    """Make an installation of a backup; return it, and the secrets and folders of keys still to be put into it.

    Refused unless it is known that the backup is the newest state: by the guard and signer memory of the installation
    it replaces, which are *moved*, so that the two can never both go on; or by a state of the log that an administrator
    vouches for.  In the latter case the counters of stateful keys are left out (``docs/adr/0084``).
    """
    folder = folder.absolute()
    check_new(folder)
    if (replacing is None) == (as_of is None):
        raise RefusedError("nobody knows whether this backup is the newest", code=Code.LOG_INCONSISTENT, hint=WAYS)
    read_backup(source)
    with ExitStack() as undo:
        old = settings.load(replacing) if replacing is not None else None
        taken_over = _take_over(old, folder, undo) if old is not None else (lambda: None)
        with building(folder, before_settings=taken_over) as draft:
            for name in (LOG, DOCUMENTS, FILE_NAME, TRUST):
                shutil.copy(source / name, draft / name)
            copy_tree(source / IMAGES, draft / IMAGES)
            copy_tree(source / KEYS, draft / KEYS)
            made = settings.load(draft)
            _verify_log(draft / LOG, made)
            if old is not None:
                _continue_old(made, old)
            elif as_of is not None:
                _continue_as_of(made, *as_of)
            _make_durable(draft)
    made = settings.load(folder)
    return made, [*map(str, _missing_secrets(made)), *(f"{path}/" for path in _missing_keys(made))]


def without_counters(made: Configuration) -> list[str]:
    """Return the stateful keys in force whose key files are not here, or without the counters of the keys."""
    with LogReader(made.log_database) as log:
        state = replay(log, made, log.size).state
    if state.policy is None or state.root is None:
        return []
    found = documents_copy.sections(made.documents_database, state.policy.digest)
    sections = load_complete(state.policy.policy, found, state.root.root, made.instance)
    places = [(key, folder_of(made, key)) for key in stateful_keys(sections, state.restrictions)]
    return [key.id for key, folder in places if folder and (not folder.exists() or is_lost(made, key))]


def _take_over(old: Configuration, folder: Path, undo: ExitStack) -> Callable[[], None]:
    """Hold the old installation still; return what takes from it the means to go on."""
    head = FileHeadStore(old.signer_head)
    head.load()  # locked from here on: its signer does not run
    undo.callback(head.close)
    guard_path = log_guard.path_of(old.guard, old.origin)
    undo.callback(log_guard.open_guard(guard_path).close)

    def take() -> None:
        for path in (guard_path, old.signer_head):
            path.unlink()
            sync_directory(path.parent)
        settings.mark_replaced(old, folder)

    return take


def _continue_old(made: Configuration, old: Configuration) -> None:
    """Take over guard, memory, secrets and keys; ``RefusedError`` when the old installation knew more than the copy."""
    if old.instance != made.instance:
        raise RefusedError(
            f"{old.folder} is another installation than the backup's",
            code=Code.WRONG_INSTANCE,
            hint="name the one it is of",
        )
    known, _ = peek(old.signer_head)
    _check_continues(made, known.size, known.root_hash, "the signer followed")
    shutil.copy(old.folder / FILE_NAME, made.folder / FILE_NAME)  # partitions may have been added since the backup
    for name in SECRET_FILES:
        if (old.folder / name).exists():
            shutil.copy(old.folder / name, made.folder / name)
    copy_tree(old.secrets, made.secrets)
    copy_tree(old.keys, made.keys)
    guard = log_guard.path_of(old.guard, old.origin)
    shutil.copy(guard, made.guard / guard.name)
    FileHeadStore(made.signer_head).create(known)
    made = settings.load(made.folder)
    signer = read_note_signer(made)
    LogStore(made.log_database, signer=signer, guard_directory=made.guard).close()  # the guard has its say


def _continue_as_of(made: Configuration, size: int, root_hash: str) -> None:
    _check_continues(made, size, root_hash, "outside were seen")
    # The log may lack blocks of numbers that were used since, and these counters are as old as it.
    for path in made.keys.rglob(f"{COUNTERS_FILE}*"):
        path.unlink()
    with LogReader(made.log_database) as log:
        log_guard.create(log_guard.path_of(made.guard, made.origin), log.checkpoint())
    FileHeadStore(made.signer_head).create(Head(size=size, root_hash=root_hash, time=int(time.time())))


def _check_continues(made: Configuration, size: int, root_hash: str, who: str) -> None:
    with LogReader(made.log_database) as log:
        if size > log.size:
            found = f"the backup's log has {log.size} entries, {who} {size}"
        elif log.root(size).hex() != root_hash:
            found = f"the backup's log is another one than {who} at size {size}"
        else:
            return
    raise RefusedError(found, code=Code.LOG_INCONSISTENT, hint=log_guard.SUCCESSOR_HINT)


def _verify_log(path: Path, configuration: Configuration) -> Checkpoint:
    """Recompute a copied log wholly, with the keys that its own root names."""
    with LogReader(path) as log:
        replayed = replay(log, configuration, log.size)
        return log.verify_all(replayed.log_keys)


def _left_out(configuration: Configuration, *, with_keys: bool) -> Iterator[str]:
    """Name the partitions whose keys are not in a backup: tokens, and folders elsewhere."""
    for name, setting in configuration.partitions.items():
        folder = files_of(setting.uri)
        if not with_keys or folder is None or not folder.is_relative_to(configuration.keys):
            yield name


def _missing_secrets(configuration: Configuration) -> Iterator[Path]:
    sources = [configuration.log_key, configuration.log_ml_dsa_key, configuration.signer_identity]
    sources += [setting.secret for setting in configuration.partitions.values()]
    if any(files_of(setting.uri) is None for setting in configuration.partitions.values()):
        sources.append(configuration.keystore.so_pin)
    for source in dict.fromkeys(sources):
        kind, _, where = source.partition(":")
        if kind == "file" and not Path(where).exists():
            yield Path(where)


def _missing_keys(configuration: Configuration) -> Iterator[Path]:
    """Folders of key files that the backup did not have."""
    for setting in configuration.partitions.values():
        folder = files_of(setting.uri)
        if folder is not None and not (folder / PARTITION_FILE).exists():
            yield folder


def copy_tree(source: Path, destination: Path) -> None:
    """Copy whole files of a folder, over what is there; drafts, whose names begin with a dot, are left out."""
    for path in _files(source):
        target = destination / path.relative_to(source)
        _make_private(target.parent)
        shutil.copy(path, target)
    _make_private(destination)


def _make_private(folder: Path) -> None:
    """``mkdir`` gives its mode to the last folder alone."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            yield path


def _listed(folder: Path) -> Iterator[Path]:
    return (path for path in _files(folder) if not path.is_relative_to(folder / IMAGES))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(name: str, expected: str, got: str) -> None:
    if expected != got:
        raise VerificationError(
            f"backup is damaged: {name}", expected=expected, got=got, code=Code.IMAGE_MISMATCH, hint="use another one"
        )


def _make_durable(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_directory(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_directory(folder)
