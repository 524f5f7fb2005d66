"""``sealwright product key-set``: the keys of a product that sign together; a change of its scope in the draft."""

from dataclasses import replace
from typing import Annotated

import typer

from sealwright.cli.drafting import keep
from sealwright.cli.product import In, Json, Product, product
from sealwright.client import administration, products
from sealwright.client.key_sets import check_set
from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.policy.documents import KeyProfile, KeySet, KeySetRule, Scope


@product.command("key-set")
def key_set(
    name: Product,
    environment: In,
    set_name: Annotated[str, typer.Argument(metavar="SET", help="name of the key set, as hybrid")],
    member: Annotated[
        list[str] | None, typer.Option("--member", help="key that signs with the others, as 2026; repeat for each")
    ] = None,
    rule: Annotated[
        KeySetRule, typer.Option("--rule", help="how many of the signatures `verify` must find; all members sign")
    ] = KeySetRule.ALL,
    remove: Annotated[bool, typer.Option("--remove", help="take the set out; its keys stay")] = False,
    json: Json = False,
) -> None:
    """Name keys that sign together: hybrid, old and new key, two providers. `sign` then takes them by itself."""
    with administration.editing() as desk:
        scope = products.find(desk.draft, f"{name}/{environment}")
        others = tuple(known for known in scope.key_sets or () if known.id != set_name)
        if remove and len(others) == len(scope.key_sets or ()):
            raise RefusedError(f"{scope.id} has no key set {set_name[:96]}", code=Code.NOT_FOUND)
        made = () if remove else (_made(set_name, [_key(desk, scope, m) for m in member or []], rule),)
        changed = replace(scope, key_sets=(*others, *made) or None)
        desk.draft.put(records.load(Scope, records.dump(changed)))
        keep(desk, ("scope", scope.id), json=json)


def _key(desk: administration.Desk, scope: Scope, name: str) -> KeyProfile:
    for key in products.keys_of(desk.draft, scope):
        if key.id in (name, f"{scope.id}/{name}"):
            return key
    known = ", ".join(key.id for key in products.keys_of(desk.draft, scope))
    raise RefusedError(f"{scope.id} has no key {name[:96]}", code=Code.NOT_FOUND, hint=f"its keys: {known or 'none'}")


def _made(name: str, keys: list[KeyProfile], rule: KeySetRule) -> KeySet:
    formats = {key.image_format for key in keys}
    if len(formats) != 1:
        raise ConfigurationError(
            "a key set has one key at least, and all of one format",
            setting="--member",
            hint="`sealwright key list` shows the format of each key",
        )
    made = KeySet(id=name, members=tuple(key.id for key in keys), rule=rule, image_format=formats.pop())
    check_set(made, keys)
    return made
