"""What changes between two sets of policy sections, or two roots, as an administrator must see it before signing.

Every member but the salt is spelled: what goes has a minus, what comes a plus.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from cryptography import x509

from sealwright.core import canonical, records
from sealwright.core.certificates import UNREADABLE
from sealwright.core.keys import PublicKey
from sealwright.policy.documents import (
    DAY_SECONDS,
    Administrator,
    Authenticator,
    KeyProfile,
    KeySet,
    LogIdentity,
    Person,
    Pipeline,
    QuorumGroup,
    Root,
    Scope,
    Section,
    SignerIdentity,
)
from sealwright.policy.sections import parse_section
from sealwright.policy.signatures import fingerprint, ssh_key

Change = Literal["added", "changed", "removed"]
Spelled = dict[str, tuple[str, ...]]
_DATES = {"support_until"}
_TIMES = {"created", "expires", *_DATES}
_UNSPELLED = {"type", "format", "salt", "id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One section that is not what it was."""

    change: Change
    kind: str
    id: str
    gone: tuple[tuple[str, str], ...]
    """Member and value that were there and are not any more."""
    new: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """Spell the difference, a headline first."""
        lines = [f"{self.change} {self.kind} {self.id}"]
        for name in dict.fromkeys(name for name, _ in (*self.gone, *self.new)):
            lines += [f"  - {name}: {value}" for member, value in self.gone if member == name]
            lines += [f"  + {name}: {value}" for member, value in self.new if member == name]
        if len(lines) == 1:
            lines.append("  the same content with a new salt: votes that wait under its rules become void")
        return lines


def between(old: Iterable[bytes], new: Iterable[bytes]) -> tuple[Difference, ...]:
    """Return what differs between two complete sets of sections, by kind and id."""
    before, after = _by_key(old), _by_key(new)
    return tuple(
        _difference(*key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def of_roots(old: Root, new: Root) -> Difference:
    """Return what the next root changes."""
    gone, come = _compare(_spell_root(old), _spell_root(new))
    return Difference(change="changed", kind="root", id=f"version {new.version}", gone=gone, new=come)


def as_json(difference: Difference) -> dict[str, object]:
    """Return a difference for programs."""
    return {
        "change": difference.change,
        "kind": difference.kind,
        "id": difference.id,
        "gone": [{"member": name, "value": value} for name, value in difference.gone],
        "new": [{"member": name, "value": value} for name, value in difference.new],
    }


def spell_quorum(group: QuorumGroup) -> str:
    """Spell a quorum group: how many approvals, by whom, how many of them recomputed."""
    recomputed = f", {group.recomputed} of them recomputed" if group.recomputed else ""
    return f"{group.approvals} by {' or '.join(group.roles)}{recomputed}"


def spell_authenticator(authenticator: Authenticator) -> str:
    """Spell an SSH key: its kind and fingerprint, and whether its PIN is demanded."""
    demanded = ", with user verification" if authenticator.user_verification else ""
    return f"{ssh_key(authenticator.key).kind} {fingerprint(authenticator)}{demanded}"


def spell_administrator(administrator: Administrator) -> str:
    """Spell an administrator with the keys that sign for them."""
    return f"{administrator.person}: {'; '.join(map(spell_authenticator, administrator.authenticators))}"


def spell_signer(signer: SignerIdentity) -> str:
    """Spell a signer: its key, and from which log index on it counts."""
    until = f" up to {signer.valid_until}" if signer.valid_until is not None else ""
    return f"{signer.id}: {signer.key.hex()}, from log index {signer.valid_from}{until}"


def spell_log(log: LogIdentity) -> str:
    """Spell a log and its keys."""
    first = f" from size {log.first_size}" if log.first_size else ""
    second = f"; {log.ml_dsa.key} from size {log.ml_dsa.first_size}" if log.ml_dsa else ""
    return f"{log.origin}: {log.key}{first}{second}"


def _by_key(sections: Iterable[bytes]) -> dict[tuple[str, str], Section]:
    return {(section.type, section.id): section for section in map(parse_section, sections)}


def _difference(kind: str, section_id: str, old: Section | None, new: Section | None) -> Difference:
    gone, come = _compare(_spell(old) if old else {}, _spell(new) if new else {})
    change: Change = "added" if old is None else "removed" if new is None else "changed"
    return Difference(change=change, kind=kind, id=section_id, gone=gone, new=come)


def _compare(old: Spelled, new: Spelled) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    gone, come = [], []
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name, ()), new.get(name, ())
        is_order = sorted(before) == sorted(after)  # then all of them are shown, else what one has more often
        if before != after:
            gone += [(name, value) for value in (before if is_order else _more(before, after))]
            come += [(name, value) for value in (after if is_order else _more(after, before))]
    return tuple(gone), tuple(come)


def _more(values: Sequence[str], others: Sequence[str]) -> Iterable[str]:
    """Return what is in ``values`` more often than in ``others``: of two equal quorum groups one can go."""
    return (Counter(values) - Counter(others)).elements()


def _spell(section: Section) -> Spelled:
    spelled = _spell_plain(section)
    match section:
        case Person() | Pipeline():
            spelled["authenticators"] = tuple(map(spell_authenticator, section.authenticators))
        case KeyProfile():
            public = PublicKey(section.public_key)
            spelled["public key"] = (f"{public.fingerprint}, {public.size_bits} bits",)
            spelled["certificates"] = tuple(map(_spell_certificate, section.certificates))
        case Scope():
            spelled["quorum"] = tuple(map(spell_quorum, section.quorum)) or ("no approval needed",)
            if section.key_sets:
                spelled["key sets"] = tuple(map(spell_key_set, section.key_sets))
        case _:
            pass
    return spelled


def _spell_certificate(der: bytes) -> str:
    """Spell a certificate: for whom, until when, and which; a damaged one is refused elsewhere."""
    digest = hashlib.sha256(der).hexdigest()
    try:
        read = x509.load_der_x509_certificate(der)
        return f"{read.subject.rfc4514_string()}, until {read.not_valid_after_utc:%Y-%m-%d}, SHA-256 {digest}"
    except UNREADABLE:
        return f"unreadable, SHA-256 {digest}"


def _spell_root(root: Root) -> Spelled:
    return {
        **_spell_plain(root),
        "previous": (),  # whoever signs the next one need not compare it: the server and the signer do
        "version": (),
        "administrators": tuple(map(spell_administrator, root.administrators)),
        "signers": tuple(map(spell_signer, root.signers)),
        "logs": tuple(map(spell_log, root.logs)),
    }


def spell_key_set(key_set: KeySet) -> str:
    """Return a key set as people read it: ``hybrid: all of K, L for raw``."""
    members = ", ".join(key_set.members)
    return f"{key_set.id}: {key_set.rule} of {members} for {key_set.image_format or 'any format'}"


def _spell_plain(record: Any) -> Spelled:
    members: Mapping[str, Any] = records.dump(record)
    return {
        name.replace("_", " "): _spell_member(name, value) for name, value in members.items() if name not in _UNSPELLED
    }


def _spell_time(seconds: int, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):  # documents hold times that no calendar has
        return f"{seconds} seconds, beyond the year 9999"


def _spell_member(name: str, value: Any) -> tuple[str, ...]:
    if name in _DATES and value % DAY_SECONDS == 0:
        return (_spell_time(value, "%Y-%m-%d"),)
    if name in _TIMES:
        return (_spell_time(value, "%Y-%m-%d %H:%M:%S UTC"),)
    parts: Sequence[Any] = value if isinstance(value, list) else [value]
    return tuple(part if isinstance(part, str) else canonical.encode(part).decode() for part in parts)
