"""The next root: who stands above everything, changed one thing at a time.

Nothing here is in force before the thresholds of the old root and of the new one have signed it (docs/spec/root.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import (
    Administrator,
    Authenticator,
    Grade,
    LogMlDsaKey,
    Root,
    SignerIdentity,
)
from sealwright.policy.roots import check_root

SALT_BYTES = 32
_refused = partial(RefusedError, code=Code.CONFLICT)


def follow(root: Root, digest: str, *, now: int, entropy: Callable[[int], bytes], **changes: Any) -> Root:
    """Return the root after ``root``: the same, with these members; it expires when the old one did.

    ``RefusedError`` or ``FormatError`` for one that could not come into force, before anybody signs it.
    """
    if "expires" not in changes and root.expires <= now:
        raise RefusedError(
            "the root in force has expired, and the next one would end with it",
            code=Code.ROOT_EXPIRED,
            hint="`sealwright policy root renew` first",
        )
    fresh: dict[str, Any] = {
        "version": root.version + 1,
        "previous": digest,
        "salt": entropy(SALT_BYTES).hex(),
        "created": now,
    }
    new = records.parse(Root, records.serialise(replace(root, **(fresh | changes))))  # limits of names and numbers
    check_root(new)
    _check_can_sign(new, root)
    return new


def with_administrator(root: Root, person: str, keys: Sequence[str], *, verified: bool) -> tuple[Administrator, ...]:
    """Return the administrators with one more, or with more keys of one."""
    added = tuple(Authenticator(key=key, user_verification=verified) for key in keys)
    owners = {a.key: admin.person for admin in root.administrators for a in admin.authenticators}
    for key in keys:
        if key in owners:
            raise _refused(f"this is a key of administrator {owners[key]} already")
    old = next((a for a in root.administrators if a.person == person), None)
    if old is None:
        return (*root.administrators, Administrator(person=person, authenticators=added))
    more = replace(old, authenticators=(*old.authenticators, *added))
    return tuple(more if a is old else a for a in root.administrators)


def without_administrator(root: Root, person: str) -> tuple[Administrator, ...]:
    """Return the administrators without one."""
    _check_known(person, [a.person for a in root.administrators], "administrator")
    left = tuple(a for a in root.administrators if a.person != person)
    if len(left) < root.threshold:
        raise _refused(
            f"without {person} there {'is 1 administrator' if len(left) == 1 else f'are {len(left)} administrators'}, "
            f"and {root.threshold} must sign",
            hint="add another one first, or lower the threshold in the same root: --threshold",
        )
    return left


def with_signer(root: Root, name: str, key: bytes, valid_from: int) -> tuple[SignerIdentity, ...]:
    """Return the signers with one more."""
    if any(signer.id == name for signer in root.signers):
        raise _refused(f"there is a signer {name} already", hint="choose another name, or remove the old one first")
    return (*root.signers, SignerIdentity(id=name, key=key, valid_from=valid_from))


def without_signer(root: Root, name: str) -> tuple[SignerIdentity, ...]:
    """Return the signers without one; what it signed before stays signed."""
    _check_known(name, [signer.id for signer in root.signers], "signer")
    left = tuple(signer for signer in root.signers if signer.id != name)
    if not left:
        raise _refused(f"{name} is the only signer", hint="add another one first")
    return left


def with_log_key(root: Root, origin: str, key: str, first_size: int) -> dict[str, Any]:
    """Return the change that gives a log its second key (docs/adr/0068)."""
    _check_known(origin, [log.origin for log in root.logs], "log")
    second = LogMlDsaKey(key=key, first_size=first_size)
    return {"logs": tuple(replace(log, ml_dsa=second) if log.origin == origin else log for log in root.logs)}


def check_grade(root: Root, grade: Grade | None, threshold: int) -> Grade:
    """Return the grade that the next root has; production needs two signatures."""
    chosen = grade or root.grade
    if chosen is Grade.PRODUCTION and threshold < 2:
        raise _refused("a production root needs a threshold of two", hint="or --grade evaluation")
    return chosen


def _check_known(name: str, known: Sequence[str], what: str) -> None:
    if name in known:
        return
    close = get_close_matches(name, known, 1)
    raise RefusedError(
        f"the root has no {what} {name[:96]}",
        code=Code.NOT_FOUND,
        hint=f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}",
    )


def _check_can_sign(root: Root, current: Root) -> None:
    """Those who are administrators now and then must be enough for both: nobody else can sign at the server."""
    staying = {a.person for a in root.administrators} & {a.person for a in current.administrators}
    if len(staying) < root.threshold:
        raise RefusedError(
            f"the next root needs {root.threshold} signatures of its own administrators, and "
            f"{len(staying)} of them can sign now",
            code=Code.ROOT_INVALID,
            hint="go in two steps: add the new administrator first; then, in another root, remove the old one or "
            "raise the threshold",
        )
