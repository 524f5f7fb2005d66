"""Mutations of canonical JSON that leave it canonical, at any depth, also in the documents that it holds as base64."""

import base64
import binascii
import json
import random
from collections.abc import Callable
from typing import Any

from tests.independent.mutations import spelled

Mutate = Callable[[bytes], bytes]
NUMBERS = (0, 1, 2, 255, 65_535, 65_536, (1 << 31) - 1, 1 << 40, (1 << 53) - 1, 1 << 53, -1)
TEXTS = ("", "a", "0" * 64, "x" * 300, "é", "\u202e", "AAAA", "=")


def json_mutation(data: bytes, dice: random.Random, mutate: Mutate) -> bytes:
    """Change one thing somewhere; bytes that are no JSON are mutated as such."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        value = _changed(value, dice, mutate)
    try:
        return spelled(value)
    except (ValueError, RecursionError):
        return data


def _changed(value: Any, dice: random.Random, mutate: Mutate) -> Any:
    if dice.random() < 0.02:
        return dice.choice([None, True, [], {}, dice.choice(NUMBERS), dice.choice(TEXTS)])
    if isinstance(value, dict) and value:
        name = dice.choice(sorted(value))
        if dice.random() < 0.1:
            return _other_members(value, name, dice)
        return value | {name: _changed(value[name], dice, mutate)}
    if isinstance(value, list) and value:
        at = dice.randrange(len(value))
        if dice.random() < 0.15:
            return dice.choice([value[:at] + value[at + 1 :], [*value, value[at]], value[::-1], value * 3])
        return [*value[:at], _changed(value[at], dice, mutate), *value[at + 1 :]]
    if isinstance(value, int):
        return dice.choice([*NUMBERS, value + 1, value - 1, value * 2])
    return _changed_text(value, dice, mutate) if isinstance(value, str) else value


def _other_members(value: dict[str, Any], name: str, dice: random.Random) -> dict[str, Any]:
    rest = {other: kept for other, kept in value.items() if other != name}
    return dice.choice([rest, rest | {dice.choice(TEXTS): value[name]}, value | {name: dice.choice([*value.values()])}])


def _changed_text(text: str, dice: random.Random, mutate: Mutate) -> str:
    if dice.random() < 0.1:
        return dice.choice(TEXTS)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return mutate(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    is_document = data[:1] in (b"{", b"[") and dice.random() < 0.9
    return base64.b64encode(json_mutation(data, dice, mutate) if is_document else mutate(data)).decode()
