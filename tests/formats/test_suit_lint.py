"""What `inspect` says of a SUIT manifest: each warning for its one cause, and none for a manifest that gives none."""

import hashlib
from typing import Any

import cbor2
import pytest
from tests.formats import suit_envelopes as made
from tests.formats import throwaway

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import suit, targets

IDENTITY = {1: made.VENDOR, 2: made.CLASS}
DIGEST = made.dumps(made.suit_digest(made.PAYLOAD))
ABOUT = {**IDENTITY, 3: DIGEST, 14: len(made.PAYLOAD)}
SHARED = [20, ABOUT, 1, 15, 2, 15]
FETCH = [20, {21: made.URI}, 21, 2]


def facts(data: bytes) -> dict[str, str]:
    return dict(suit.inspect(MemorySource(data)).facts)


def warnings(
    *, shared: list[Any] | None = None, install: list[Any] | None = None, components: int = 1, **members: Any
) -> list[str]:
    """The warnings about a manifest that is in order but for what is given."""
    common = {2: [[b"%d" % n] for n in range(components)], 4: made.dumps(SHARED if shared is None else shared)}
    common |= members.pop("common", {})
    value = made.manifest() | {3: made.dumps(common)}
    value |= {int(name[1:]): part for name, part in members.items()}
    value[20] = made.dumps([*FETCH, 3, 15] if install is None else install)
    value = {number: part for number, part in value.items() if part is not None}
    return [text for label, text in facts(made.envelope(value, payload=None)).items() if label.startswith("Warning ")]


def test_a_manifest_as_the_draft_wants_it_gives_no_cause_for_a_warning() -> None:
    assert warnings() == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"m2": 0}, "sequence number is 0: no manifest is older"),
        ({"m99": 1}, "manifest member 99 is not known here"),
        ({"shared": [20, ABOUT, 2, 15]}, "no condition asks for the vendor identifier: any device takes this manifest"),
        ({"shared": [20, ABOUT, 1, 15]}, "no condition asks for the class identifier"),
        (
            {"shared": [20, {2: made.CLASS, 3: DIGEST, 14: 9}, 1, 15, 2, 15]},
            "the vendor identifier is asked for, but may",
        ),
        (
            {"shared": [20, ABOUT, 1, 15], "install": [2, 15, *FETCH, 3, 15], "m9": None},
            "the class identifier is not asked for in the shared sequence",
        ),
        ({"shared": [*SHARED, 21, 2]}, "the shared sequence holds fetch, which belongs to a sequence of its own"),
        ({"shared": [*SHARED, -5, 1]}, "command -5 is not known here"),
        ({"shared": [20, {**ABOUT, 77: 1}, 1, 15, 2, 15]}, "parameter 77 is not known here"),
        ({"shared": [20, {**ABOUT, 13: True}, 1, 15, 2, 15]}, "soft-failure is set"),
        ({"shared": [12, 3, *SHARED]}, "component 3 is selected, but the manifest has none of that index"),
        ({"install": [21, 2, 3, 15]}, "install: fetch into component 0 without a URI"),
        (
            {"install": [20, {21: "http://x/fw"}, 21, 2, 3, 15]},
            "install: fetch into component 0 from http://x/fw: without",
        ),
        (
            {"shared": [20, {**IDENTITY, 3: DIGEST}, 1, 15, 2, 15]},
            "install: fetch into component 0 without an image size: nothing bounds what is downloaded",
        ),
        (
            {"shared": [20, {**IDENTITY, 14: 9}, 1, 15, 2, 15], "m7": None, "m9": None},
            "install: image-match of component 0 without a digest to compare",
        ),
        ({"shared": [*SHARED, -5, 1]}, "the shared sequence holds command -5, which belongs to a sequence of its own"),
        ({"components": 2}, "shared-sequence does not begin by selecting a component, and there are 2"),
        (
            {"components": 2, "shared": [12, 0, *SHARED]},
            "install does not begin by selecting a component, and there are 2",
        ),
        (
            {"install": [*FETCH], "m7": None, "m9": None},
            "component 0 is written by fetch in install and never compared with a digest: any content will do",
        ),
        ({"install": [22, 15, 3, 15]}, "install: copy into component 0 without a source component"),
        ({"install": [18, 15]}, "install: write into component 0 without content"),
        ({"m7": None}, "component 0 is invoked, and no image-match validates it before"),
        ({"install": [15, [made.dumps([*FETCH, 3, 15]), None]]}, "a try-each may do nothing: its last alternative is"),
        ({"install": [11, 15]}, "process-dependency of component 0, which is no dependency"),
        (
            {"install": [12, 1, 11, 15], "common": {1: {1: {}}}},
            "install: dependency 1 is processed without a digest: any manifest by a trusted signer will do",
        ),
    ],
)
def test_each_cause_has_its_warning(change: dict[str, Any], expected: str) -> None:
    found = warnings(**change)
    assert [text for text in found if text.startswith(expected)], found


def test_what_only_validate_compares_is_compared_before_the_update_ends() -> None:
    """Validate belongs to both procedures."""
    assert warnings(install=[*FETCH]) == []


def test_a_parameter_that_only_one_alternative_sets_may_be_absent() -> None:
    alternatives = [15, [made.dumps([20, {**ABOUT}]), made.dumps([20, {**IDENTITY, 14: 9}])]]
    found = warnings(shared=[*alternatives, 1, 15, 2, 15])
    assert "install: image-match of component 0 without a digest to compare" in found
    both = [15, [made.dumps([20, {**ABOUT}]), made.dumps([20, {**ABOUT, 14: 9}])]]
    assert warnings(shared=[*both, 1, 15, 2, 15]) == []


def test_commands_reach_the_components_that_are_selected() -> None:
    """Component 1 is fetched and never compared; comparing component 0 does not help it."""
    shared = [12, True, *SHARED]
    others: dict[str, Any] = {"components": 2, "m7": made.dumps([12, 0, 3, 15]), "m9": made.dumps([12, 0, 23, 2])}
    install = [12, 1, *FETCH, 12, 0, *FETCH, 3, 15]
    found = warnings(shared=shared, install=install, **others)
    assert found == ["component 1 is written by fetch in install and never compared with a digest: any content will do"]
    install = [12, [0, 1], *FETCH, 3, 15]
    assert warnings(shared=shared, install=install, **others) == []
    copied = [12, 1, 35, {0: [1, 2, 3, 14]}, 12, True, *FETCH, 3, 15]
    assert warnings(shared=[12, 0, *SHARED], install=copied, **others) == []


def test_a_hundred_findings_are_cut_and_say_so() -> None:
    found = warnings(shared=[*SHARED, *(part for n in range(100) for part in (-n - 1, 0))])
    assert len(found) == 65
    assert found[-1] == "there are more findings than are listed"


def test_the_public_examples_are_described_command_by_command() -> None:
    said = facts(made.public_vectors()["suit_manifest_exp3.suit"])
    assert said["shared-sequence 2"] == "directive try-each of 2"
    assert said["shared-sequence 2.1 step 1 component-slot"] == "0"
    assert said["shared-sequence 2.2 step 2"] == "condition component-slot (reporting 5)"
    assert said["shared-sequence 2.2 step 3 image-size"] == "76834 bytes"
    assert said["install 1.2 step 3 uri"] == "http://example.com/file2.bin"
    assert said["install 3"] == "condition image-match"
    said = facts(made.public_vectors()["suit_manifest_expU2.suit"])
    assert said["Version"] == "1.0.0"
    assert said["shared-sequence 1 version"] == "lesser 1.0.0"
    assert said["Software identity tag (CoSWID)"] == "61 bytes"
    said = facts(made.public_vectors()["example2.txt 3"])
    assert said["Text en-US, h'00', vendor domain"] == "arm.com"
    assert said["Reference URI"] == "https://git.io/JJYoj"
    said = facts(made.public_vectors()["suit_manifest_expD.suit"])
    assert said["Dependency 1"] == "TEEP-Device/SecureFS/h'8d82573a926d4754935332dc29997f74'/suit"
    assert said["install 4 encryption-info"].endswith("the payload is encrypted, this says how")


def test_texts_cannot_forge_lines_and_long_ones_say_that_they_are_cut() -> None:
    text = made.dumps({"en": {1: "good\nsignatures: none\x1b[2J", 2: "x" * 5000}})
    said = facts(made.envelope(made.manifest(m23=text)))
    assert said["Text en, manifest description"] == "good signatures: none [2J"
    assert said["Text en, update description"].endswith("… (5000 characters)")
    odd = facts(made.envelope(made.manifest(m23=made.dumps({5: 1, "de": [cbor2.CBORTag(1, 2)]}))))
    assert odd["Text 5"] == "1"
    assert odd["Text de"] == "h'81c102'"


def test_parameters_of_several_components_and_copies_are_shown_one_by_one() -> None:
    more = {0: {21: "https://evil.example/fw", 77: b"x" * 80}, 7: {14: 9}}
    said = facts(made.envelope(made.manifest(m20=made.dumps([34, more, 35, {0: [21, 3]}, 3, 15])), payload=None))
    assert said["install 1 component 0 uri"] == "https://evil.example/fw"
    digest = hashlib.sha256(b"x" * 80).hexdigest()
    assert said["install 1 component 0 parameter 77"].endswith(f"… (80 bytes, SHA-256 {digest})")
    assert said["install 2 from component 0"] == "uri, image-digest"
    assert "component 7 is given parameters, but the manifest has none of that index" in said.values()


def test_two_component_names_never_read_alike() -> None:
    common = [{2: [name], 4: made.dumps(SHARED)} for name in ([b"rom/0"], [b"rom", b"0"], [b"A" * 2000])]
    shown = [facts(made.envelope(made.manifest(m3=made.dumps(c)), payload=None))["Component 0"] for c in common]
    assert shown[:2] == [f"h'{b'rom/0'.hex()}'", "rom/0"]
    assert "(2000 bytes, SHA-256 " in shown[2]


def test_a_manifest_that_says_more_than_is_shown_is_not_signed() -> None:
    fill = [20, dict.fromkeys(range(100, 155), 0)] * 80
    crowded = made.envelope(made.manifest(shared=[20, ABOUT, 1, 15, 2, 15, *fill]))
    assert facts(crowded)["More"] == "not everything that the manifest says is listed"
    key = throwaway.signer(Algorithm.ECDSA_P256_SHA256).signing_key()
    with pytest.raises(FormatError, match="manifest says more than 4096 things"):
        suit.prepare(MemorySource(crowded), [key], {}, targets.ANY)
    assert suit.prepare(MemorySource(made.envelope()), [key], {}, targets.ANY).slots
