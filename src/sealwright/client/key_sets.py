"""Key sets of a draft that the policy could name and no image could be signed with: their format is asked."""

from collections.abc import Sequence

from sealwright.client.drafts import Draft
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.evidence.signed_image import signing_keys
from sealwright.formats import FORMATS
from sealwright.formats.keys_together import SEVERAL, check_together
from sealwright.policy.documents import KeyProfile, KeySet, Scope


def check_new_sets(draft: Draft, before: Sequence[Scope]) -> None:
    """Raise ``RefusedError`` for a set that the draft adds or changes; what is in force already may stay."""
    known = {(scope.id, key_set) for scope in before for key_set in scope.key_sets or ()}
    for scope in draft.all(Scope):
        for key_set in scope.key_sets or ():
            if (scope.id, key_set) not in known:
                check_set(key_set, [p for member in key_set.members if (p := draft.get(KeyProfile, member))])


def check_set(key_set: KeySet, members: Sequence[KeyProfile]) -> None:
    """Raise ``RefusedError`` for keys that cannot sign one image of the set's format together."""
    if key_set.image_format not in FORMATS:  # any format, or one of a newer version
        return
    try:
        check_together(key_set.image_format, signing_keys(members))
    except FormatError as e:
        could = SEVERAL.get(key_set.image_format, "one key")
        raise RefusedError(
            f"the keys of set {key_set.id} cannot sign one image together: {e.message}",
            code=Code.KEY_PROFILE_MISMATCH,
            hint=f"{key_set.image_format} takes {could}; see docs/operate/administration.md, keys that sign together",
        ) from None
