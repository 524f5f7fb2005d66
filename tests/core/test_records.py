"""Records take exactly what their annotations say, and name the member that does not fit."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import pytest

from sealwright.core import records
from sealwright.core.errors import FormatError
from sealwright.core.records import Bounds, Digest, Id


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    number: Annotated[int, Bounds(1, 5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    type: Literal["tree"]
    format: Literal[1]
    id: Id
    digest: Digest
    colour: Colour
    leaves: Annotated[tuple[Leaf, ...], Bounds(0, 2)]
    blob: Annotated[bytes, Bounds(0, 4)] = b""
    flag: bool = False
    note: str | None = None


GOOD = {"type": "tree", "format": 1, "id": "a", "digest": "0" * 64, "colour": "red", "leaves": [{"number": 1}]}


def test_a_record_comes_back_as_it_was():
    tree = records.load(Tree, {**GOOD, "blob": "AQ==", "flag": True, "note": "n"})
    assert tree.leaves == (Leaf(number=1),)
    assert tree.blob == b"\x01"
    assert records.parse(Tree, records.serialise(tree)) == tree


def test_an_absent_optional_member_stays_absent():
    tree = records.load(Tree, GOOD)
    assert tree.note is None
    assert "note" not in records.dump(tree)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"extra": 1}, "unknown members"),
        ({"id": ...}, "missing members"),
        ({"type": "bush"}, "type: expected one of"),
        ({"format": True}, "format: expected one of"),
        ({"format": "1"}, "format: expected one of"),
        ({"id": "A"}, "id: "),
        ({"id": 1}, "id: expected str"),
        ({"digest": "0" * 63}, "digest: "),
        ({"digest": "0" * 64 + "\n"}, "digest: "),
        ({"colour": "blue"}, "colour: expected one of"),
        ({"colour": ["red"]}, "colour: expected one of"),
        ({"leaves": {}}, "leaves: expected list"),
        ({"leaves": [{"number": 1}] * 3}, "leaves: 3 is outside"),
        ({"leaves": [{"number": 6}]}, r"leaves\[0\].number: 6 is outside"),
        ({"leaves": [{"number": True}]}, r"leaves\[0\].number: expected int"),
        ({"leaves": [[]]}, r"leaves\[0\]: expected an object"),
        ({"blob": "AQ"}, "base64"),
        ({"blob": "AAAAAAA="}, "blob: 5 is outside"),
        ({"flag": 1}, "flag: expected bool"),
        ({"note": 5}, "note: expected str"),
    ],
)
def test_what_does_not_fit_is_named(change, says):
    value = {k: v for k, v in {**GOOD, **change}.items() if v is not ...}
    with pytest.raises(FormatError, match=says):
        records.load(Tree, value)


@pytest.mark.parametrize("value", [None, [], "x", 1, True])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(FormatError, match="expected an object"):
        records.load(Tree, value)
