"""Every small change of a JSON value, inside the documents that it holds as base64, too."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

Change = tuple[str, Any]


def mutations(value: Any) -> Iterator[Change]:
    """Yield the place of each change and the whole value with it."""
    if isinstance(value, dict):
        yield from _of_object(value)
    elif isinstance(value, list):
        yield from _of_list(value)
    elif isinstance(value, bool):
        yield "", not value
    elif isinstance(value, int):
        yield from ((" plus 1", value + 1), (" as text", str(value)))
        if value:
            yield " minus 1", value - 1
    else:
        yield from _of_text(value)


def _of_object(value: dict[str, Any]) -> Iterator[Change]:
    yield " with another member", value | {"zz": 1}
    for name, member in value.items():
        yield f".{name} removed", {other: kept for other, kept in value.items() if other != name}
        for place, changed in mutations(member):
            yield f".{name}{place}", value | {name: changed}


def _of_list(value: list[Any]) -> Iterator[Change]:
    for index, item in enumerate(value):
        before, after = value[:index], value[index + 1 :]
        yield f"[{index}] removed", [*before, *after]
        yield f"[{index}] twice", [*before, item, item, *after]
        if after and after[0] != item:
            yield f"[{index}] after the next", [*before, after[0], item, *after[1:]]
        for place, changed in mutations(item):
            yield f"[{index}]{place}", [*before, changed, *after]
    if not value:
        yield " with an item", [{}]


def _of_text(value: str) -> Iterator[Change]:
    middle = len(value) // 2
    yield " in the middle", value[:middle] + ("a" if value[middle : middle + 1] != "a" else "b") + value[middle + 1 :]
    yield " shorter", value[:-1]
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return
    try:
        inner = json.loads(data)
    except ValueError:
        for at in sorted({0, len(data) // 2, len(data) - 1}):
            yield f" bit at {at}", _encoded(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) if data else "AA=="
        yield from ((" with a byte", _encoded(data + b"\0")), (" without a byte", _encoded(data[:-1])))
    else:
        if isinstance(inner, dict):
            yield from ((f"/{place}", _encoded(spelled(changed))) for place, changed in mutations(inner))
            yield " with a line feed", _encoded(data + b"\n")


def spelled(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
