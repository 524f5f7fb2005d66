"""Keys that are in a partition already and come back into the policy."""

from sealwright.client import earlier
from sealwright.client.administration import Desk
from sealwright.client.new_keys import check_public_key
from sealwright.client.short_forms import whole
from sealwright.core.errors import Code, RefusedError
from sealwright.core.keys import PublicKey
from sealwright.policy.documents import KeyProfile
from sealwright.wiring import ceremony
from sealwright.wiring.ceremony import KeyOrder
from sealwright.wiring.configuration import Configuration


def find(desk: Desk, settings: Configuration, order: KeyOrder, given: str) -> KeyProfile:
    """Return the profile as an earlier policy had it, else of a key that was made for a draft."""
    there = ceremony.fingerprints(settings, order.partition)
    fingerprint = whole(given, there, "key")
    if fingerprint not in there:
        hint = f"it has {', '.join(print_[:16] for print_ in there) or 'none'}"
        raise RefusedError(f"partition {order.partition} has no key {given[:64]}", code=Code.NOT_FOUND, hint=hint)
    known = earlier.fetch(desk)
    known.check_name(order.profile, fingerprint)
    found = known.find(order.profile, fingerprint) or ceremony.take_up_key(settings, order, fingerprint)
    check_public_key(PublicKey(found.public_key), order.algorithm, desk.draft.all(KeyProfile))
    if (found.algorithm, found.image_format or "") != (order.algorithm, order.image_format or ""):
        raise RefusedError(
            f"key {found.id} is for {found.algorithm} and {found.image_format or 'any format'}",
            code=Code.CONFLICT,
            hint=f"--algorithm {found.algorithm}" + (f" --format {found.image_format}" if found.image_format else ""),
        )
    return found
