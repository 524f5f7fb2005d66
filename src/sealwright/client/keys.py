"""Keys of a draft: found by name, and how far the stateful ones among them are used up."""

from collections.abc import Sequence
from difflib import get_close_matches

from sealwright.client import log_view, stateful
from sealwright.client.administration import Desk
from sealwright.client.drafts import Draft
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import KeyProfile


def find(draft: Draft, profile: str) -> KeyProfile:
    """Return a key profile of a draft; ``RefusedError`` names what is close to a name that is not there."""
    found = draft.get(KeyProfile, profile)
    if found is None:
        close = get_close_matches(profile, [k.id for k in draft.all(KeyProfile)], 1)
        hint = f"did you mean {close[0]}?" if close else "`sealwright key list`"
        raise RefusedError(f"there is no key {profile[:96]}", code=Code.NOT_FOUND, hint=hint)
    return found


def numbers_of_all(desk: Desk, keys: Sequence[KeyProfile]) -> dict[str, stateful.Numbers]:
    """Follow the log for the marks of stateful keys; without one there is nothing to follow it for."""
    if not stateful.any_stateful(keys):
        return {}
    marks = log_view.verify(desk.api, desk.settings.trust, lambda _done, _size: None).state.marks
    found = {k.id: stateful.numbers_of(k, lambda fingerprint: marks.get(fingerprint, 0)) for k in keys}
    return {name: numbers for name, numbers in found.items() if numbers is not None}
