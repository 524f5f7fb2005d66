"""Runs the script of a key ceremony beside the signer: keys, what was read back of them, minutes to sign.

Everything is recorded before and after it is done, in ``ceremonies/<id>`` of the instance.  A ceremony that was
interrupted resumes there: a key that was made is taken up and not made again, half a key is named and left alone.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sealwright import __version__
from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, ConfigurationError, RefusedError, UnavailableError, VerificationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.evidence.key_attestation import load_roots, verify_yubihsm
from sealwright.evidence.minutes import CheckedMinutes, check_minutes
from sealwright.keystores.interface import CreatedKey, ModuleFacts
from sealwright.keystores.opening import FILES
from sealwright.policy.documents import KeyGrade
from sealwright.policy.minutes import (
    Backup,
    MadeKey,
    Minutes,
    ObservedModule,
    PlannedKey,
    Script,
    SealedCopy,
    TokenAttribute,
    parse_script,
)
from sealwright.wiring.ceremony import KeyOrder, check_order, template
from sealwright.wiring.ceremony_files import JOURNAL, Journal, begin, folder_of, load, locked, write
from sealwright.wiring.ceremony_partition import OpenPartition, check_module, observed_module, opened
from sealwright.wiring.configuration import Configuration

MINUTES, COPIES = "minutes.json", "sealed-copies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A ceremony that is done but for the signatures."""

    path: Path
    checked: CheckedMinutes


def orders(script: Script) -> tuple[KeyOrder, ...]:
    """Return what the script orders, checked as ``key create`` checks it."""
    ordered = []
    for key in script.keys:
        order = KeyOrder(
            profile=script.profile(key),
            algorithm=key.algorithm,
            size_bits=_size(key),
            image_format=key.image_format,
            purpose=key.purpose,
            parameters=key.parameters or "",
            named_partition=script.partition,
        )
        check_order(order)
        ordered.append(order)
    return tuple(ordered)


def made_already(configuration: Configuration, script_bytes: bytes) -> frozenset[str]:
    """Return the key profiles that this ceremony made in an earlier run, or was making."""
    journal = load(Journal, folder_of(configuration, parse_script(script_bytes)) / JOURNAL)
    if journal is None or journal.script != hashlib.sha256(script_bytes).hexdigest():
        return frozenset()
    return frozenset(key.profile for key in journal.keys) | ({journal.making} if journal.making else set())


def run(
    configuration: Configuration,
    script_bytes: bytes,
    attestations: Mapping[str, tuple[bytes, ...]],
    *,
    discard_unfinished: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Finished:
    """Carry a script out, or go on where an earlier run ended; ``attestations``: DER chains by key profile.

    ``UnavailableError`` (``still-waiting``) when all keys are made and a vendor's attestation is missing.
    """
    script = parse_script(script_bytes)
    folder = folder_of(configuration, script)
    with locked(folder):
        journal = begin(folder, script_bytes)
        if (kept := load(SignedDocument, folder / MINUTES)) is not None:
            return Finished(path=folder / MINUTES, checked=check_minutes(kept.document, configuration.instance))
        if (setting := configuration.partitions.get(script.partition)) is None:
            raise ConfigurationError(f"there is no partition {script.partition}", setting="partitions")
        with opened(setting) as keystore:
            with keystore.asked() as ceremony:
                facts = ceremony.describe()
            observed = observed_module(facts, is_files=setting.uri.startswith(FILES))
            check_module(script, observed)
            bench = _Bench(script, folder, keystore, facts, say)
            journal = bench.make_all(journal, discard_unfinished=discard_unfinished)
            journal = bench.attest(journal, attestations)
            bench.read_back(journal)
        minutes = _minutes(script_bytes, journal, observed)
        document = records.serialise(minutes)
        checked = check_minutes(document, configuration.instance)
        write(folder / MINUTES, records.serialise(SignedDocument(document=document, signatures=())))
        return Finished(path=folder / MINUTES, checked=checked)


class _Bench:
    """One run's script, folder and open keystore."""

    def __init__(
        self, script: Script, folder: Path, keystore: OpenPartition, facts: ModuleFacts, say: Callable[[str], None]
    ) -> None:
        self._script, self._folder, self._keystore = script, folder, keystore
        self._facts, self._say = facts, say

    def make_all(self, journal: Journal, *, discard_unfinished: bool) -> Journal:
        """Make what is not there yet, in the order of the script."""
        with self._keystore.asked() as ceremony:
            there = {key.public_key.fingerprint for key in ceremony.list_keys()}
        for made in journal.keys:
            if PublicKey(made.public_key).fingerprint not in there:
                raise RefusedError(
                    f"key {made.profile} was made by this ceremony and is gone from its partition",
                    code=Code.CONFLICT,
                    hint=f"who deleted it? Begin a ceremony with another id; what was recorded is in {self._folder}",
                )
        for planned, order in zip(self._script.keys, orders(self._script), strict=True):
            if order.profile not in {key.profile for key in journal.keys}:
                journal = self._make(journal, planned, order, discard_unfinished=discard_unfinished)
        return journal

    def _make(self, journal: Journal, planned: PlannedKey, order: KeyOrder, *, discard_unfinished: bool) -> Journal:
        with self._keystore.asked() as ceremony:
            remains = ceremony.remains(order.profile)
        is_mine = journal.making == order.profile
        if remains and not is_mine:
            raise RefusedError(
                f"the partition holds {', '.join(remains)} under {order.profile}, which this ceremony did not make",
                code=Code.CONFLICT,
                hint="choose another name in the script",
            )
        if remains and discard_unfinished:
            self._say(f"deleting what was unfinished: {', '.join(remains)}")
            with self._keystore.asked() as ceremony:
                ceremony.discard(order.profile)
            remains = ()
        if remains:
            self._say(f"taking up {order.profile}, which was being made when the ceremony was interrupted")
            with self._keystore.asked() as ceremony:
                created = ceremony.take_up(order.profile, order.algorithm, template(order))
        else:
            journal = self._keep(replace(journal, making=order.profile))
            created = self._create(order)
        made = self._record(planned, order.algorithm, created, taken_up=bool(remains))
        self._say(f"made {order.profile}, {order.algorithm}, {created.public_key.fingerprint}")
        return self._keep(replace(journal, keys=(*journal.keys, made), making=None))

    def _create(self, order: KeyOrder) -> CreatedKey:
        with self._keystore.asked() as ceremony:
            return ceremony.create_key(
                order.profile, order.algorithm, order.size_bits, template(order), order.parameters
            )

    def _record(self, planned: PlannedKey, algorithm: Algorithm, created: CreatedKey, *, taken_up: bool) -> MadeKey:
        return MadeKey(
            profile=created.label,
            public_key=created.public_key.spki_der,
            algorithm=algorithm,
            certificate=created.certificates[0],
            grade=KeyGrade(created.grade),
            attributes=self._shown(created.attributes),
            attestation=(),
            copies=self._copies(created) if planned.backup is Backup.SEALED_COPY else (),
            taken_up=taken_up,
        )

    def _copies(self, created: CreatedKey) -> tuple[SealedCopy, ...]:
        """Copy the sealed files; without the passphrase they are of no use to anybody."""
        target = self._folder / COPIES
        target.mkdir(mode=0o700, exist_ok=True)
        copies = []
        with self._keystore.asked() as ceremony:
            sealed = [(path, path.read_bytes()) for path in ceremony.sealed_files(created.public_key.fingerprint)]
        for path, content in sealed:
            write(target / path.name, content)
            digest = hashlib.sha256(content).hexdigest()
            copies.append(SealedCopy(name=path.name, sha256=digest, size=len(content)))
        return tuple(copies)

    def attest(self, journal: Journal, attestations: Mapping[str, tuple[bytes, ...]]) -> Journal:
        """Check and record the vendor's attestations that the script demands."""
        rule = self._script.attestation
        profiles = {key.profile for key in journal.keys}
        if unknown := sorted(attestations.keys() - (profiles if rule else set())):
            raise RefusedError(f"no attestation of {unknown[0]} is wanted", code=Code.NOT_FOUND)
        if rule is None:
            return journal
        roots, keys = load_roots(rule.roots.encode()), []
        for made in journal.keys:
            chain = attestations.get(made.profile)
            if chain is not None:
                verify_yubihsm(chain, roots, made.public_key, at_seconds=int(time.time()))
                keys.append(replace(made, attestation=chain, grade=KeyGrade.HARDWARE_ATTESTED))
            else:
                keys.append(made)
        journal = self._keep(replace(journal, keys=tuple(keys)))
        missing = [key for key in keys if not key.attestation]
        if missing:
            listed = ", ".join(f"{key.profile} ({PublicKey(key.public_key).fingerprint[:16]})" for key in missing)
            raise UnavailableError(
                f"all keys are made; still missing is the attestation of {listed}",
                code=Code.STILL_WAITING,
                hint="have the device attest them, then run this again with --attestation PROFILE=FILE",
            )
        return journal

    def read_back(self, journal: Journal) -> None:
        """Ask the token again before the minutes: the journal is a file, and its word counts for nothing."""
        for made in journal.keys:
            with self._keystore.asked() as ceremony:
                now = self._shown(ceremony.read_back(PublicKey(made.public_key).fingerprint))
            if now != made.attributes:
                raise VerificationError(
                    f"key {made.profile}: what its keystore says of it is not what {JOURNAL} has",
                    expected=_spell(made.attributes),
                    got=_spell(now),
                    code=Code.EVIDENCE_MISMATCH,
                    hint=f"who changed {self._folder / JOURNAL}? Begin a ceremony with another id and new keys",
                )

    def _shown(self, attributes: Mapping[str, bool]) -> tuple[TokenAttribute, ...]:
        kept = {name: value for name, value in attributes.items() if name not in self._facts.unshown}
        return tuple(_attribute(name, value) for name, value in sorted(kept.items()))

    def _keep(self, journal: Journal) -> Journal:
        write(self._folder / JOURNAL, records.serialise(journal))
        return journal


def _minutes(script_bytes: bytes, journal: Journal, observed: ObservedModule) -> Minutes:
    return Minutes(
        type="minutes",
        format=1,
        salt=secrets.token_hex(16),
        script=script_bytes,
        module=observed,
        keys=journal.keys,
        software=f"sealwright {__version__}",
        started=journal.started,
        ended=int(time.time()),
    )


def _attribute(name: str, value: bool) -> TokenAttribute:
    return records.load(TokenAttribute, {"name": name, "value": value})


def _spell(attributes: tuple[TokenAttribute, ...]) -> str:
    return ", ".join(f"{attribute.name} {attribute.value}" for attribute in attributes) or "nothing"


def _size(key: PlannedKey) -> int:
    return 0 if key.algorithm.is_stateful else key.size_bits or key.algorithm.key_size_bits or 0
