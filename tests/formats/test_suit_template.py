"""Envelopes built from a template: the draft's own examples come out, and a second implementation accepts them."""

import hashlib
import json
import random
import uuid
from pathlib import Path
from typing import Any

import cbor2
import pytest
from tests.conftest import vectors
from tests.formats import suit_envelopes as made
from tests.formats.flips import flipped
from tests.formats.test_suit_vectors import signed_like
from tests.formats.throwaway import signer
from tests.verifiers import suit_node

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import suit, suit_building, suit_template, targets
from sealwright.formats.interface import Trust

IMAGE = b"firmware" * 4346
VENDOR, CLASS = str(uuid.UUID(bytes=made.VENDOR)), str(uuid.UUID(bytes=made.CLASS))
FILES = {"fw.bin": IMAGE, "radio.bin": b"r" * 76834, "inner.suit": made.envelope()}


def template(*components: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"sequence_number": 7, "vendor": VENDOR, "device_class": CLASS, "components": list(components), **members}


def slots(*images: dict[str, Any]) -> dict[str, Any]:
    return {"components": [{"id": ["a"], "image": "fw.bin"} | image for image in images]}


def build(value: dict[str, Any]) -> bytes:
    files = {name: MemorySource(data) for name, data in FILES.items()}
    return b"".join(suit_building.build(suit_template.parse(json.dumps(value).encode()), files))


def sign(image: bytes) -> tuple[bytes, Any]:
    by = signer(Algorithm.ECDSA_P256_SHA256)
    prepared = suit.prepare(MemorySource(image), [by.signing_key()], {}, targets.ANY)
    result = b"".join(prepared.assemble(by.sign_all(prepared)).apply(MemorySource(image)))
    assert suit.verify(MemorySource(result), Trust(keys=(by.public_key,)), {}).keys == (by.public_key,)
    return result, by.public_key


def template_of(example: dict[str, Any], text: dict[Any, Any] | None) -> dict[str, Any]:
    """Say as a template what the draft's generator was told; its images are files of the same sizes."""
    files = {len(data): name for name, data in FILES.items()}
    parts = [
        {
            "id": [f"hex:{identifier}" for identifier in part["install-id"]],
            "image": files[part["install-size"]],
            "invoke": part["bootable"] and "slot" not in part,  # the generator starts no image of a slot
            **{name: part[name] for name in ("uri", "slot") if name in part},
        }
        for part in example["components"]
    ]
    value = template(*parts, sequence_number=example["manifest-sequence-number"])
    if text is not None:
        about = text[(b"\x00",)]
        parts[0]["text"] = {"vendor_domain": about[3], "description": about[5]}
        value |= {"text": {"language": "en-US", "description": text[1]}, "severable": ["install", "text"]}
        value |= {"reference_uri": example["reference-uri"]}
    return value


def with_samples(envelope: bytes, example: dict[str, Any]) -> bytes:
    """Put the digests that the example states, of which nobody has the images, in place of those of our files."""
    for part in example["components"]:
        (image,) = [data for data in FILES.values() if len(data) == part["install-size"]]
        ours, theirs = hashlib.sha256(image).digest(), bytes.fromhex(part["install-digest"]["digest-bytes"])
        assert ours in envelope
        envelope = envelope.replace(ours, theirs)
    return envelope


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "example0.txt 2"),
        (0, "suit_manifest_exp0.suit"),
        (2, "example2.txt 3"),
        (2, "suit_manifest_exp2.md 1"),
        (3, "example3.txt 2"),
        (3, "suit_manifest_exp3.suit"),
    ],
)
def test_what_the_drafts_generator_was_told_makes_its_envelope_byte_for_byte(number: int, name: str) -> None:
    """Also libcsuit's of the same examples: everything but the 64 bytes of their signature is ours."""
    example = json.loads((vectors("suit") / "manifest-spec" / f"example{number}.json").read_text())
    theirs = made.public_vectors()[name]
    texts = made.decoded(theirs).get(23)
    built = build(template_of(example, cbor2.loads(texts)["en-US"] if texts else None))
    ours = with_samples(made.replaced(built, e2=None), example)
    assert made.decoded(ours)[3] == made.decoded(theirs)[3]
    assert signed_like(theirs, ours) == theirs


@pytest.mark.parametrize(
    "value",
    [
        template({"id": ["app"], "image": "fw.bin", "uri": made.URI, "invoke": True}),
        template({"id": ["app"], "image": "fw.bin", "integrated": True, "invoke": True}),
        template(
            {"id": ["app"], "image": "fw.bin", "integrated": True, "invoke": True},
            {"id": ["radio", "hex:01ff"], "image": "radio.bin", "integrated": True},
            severable=["text"], text={"language": "en", "update": "Mends the radio"},
        ),
        template(
            {"id": ["app"], "image": "fw.bin", "uri": made.URI, "invoke": True},
            dependencies=[{"envelope": "inner.suit", "integrated": True, "prefix": ["inner"]}],
        ),
        template({"id": ["app"], "image": "fw.bin", "uri": made.URI}, dependencies=[{"envelope": "inner.suit"}]),
        template(
            {"id": ["app"], "slot": 0, "image": "fw.bin", "uri": made.URI, "invoke": True},
            {"id": ["app"], "slot": 1, "image": "radio.bin", "integrated": True, "invoke": True},
        ),
        template(
            {"id": ["app"], "slot": 0, "image": "fw.bin", "integrated": True, "invoke": True},
            {"id": ["app"], "slot": 1, "image": "fw.bin", "integrated": True, "invoke": True},
            {"id": ["radio"], "image": "radio.bin", "uri": made.URI},
            dependencies=[{"envelope": "inner.suit", "integrated": True}], severable=["install"],
        ),
    ],
)  # fmt: skip
def test_what_is_built_is_signed_accepted_and_gives_no_cause_for_a_warning(
    tmp_path: Path, value: dict[str, Any]
) -> None:
    result, key = sign(build(value))
    said = suit_node.verify(tmp_path, result, key)
    assert said["accepted"], said
    assert said["blocks"] == [[-9, "good"]]
    facts = suit.inspect(MemorySource(result)).facts
    assert not [label for label in facts if label.startswith("Warning")], facts
    vendor = result.index(made.VENDOR)
    for at in (vendor, *([result.index(IMAGE)] if IMAGE in result else [])):
        assert not suit_node.verify(tmp_path, flipped(result, at), key)["accepted"]


def random_template(chance: random.Random) -> dict[str, Any]:
    """One to three components, each of one image or of one for each of two slots; some dependencies and texts."""
    parts: list[dict[str, Any]] = []
    for name in ("app", "radio", "hex:00ff")[: chance.randrange(1, 4)]:
        is_invoked, is_fetched = chance.random() < 0.5, chance.random() < 0.8
        for slot in chance.choice([(None,), (None,), (0, 1), (3, 1, 2)]):
            source: dict[str, Any] = chance.choice([{"uri": made.URI}, {"integrated": True}]) if is_fetched else {}
            part = {"id": [name], "image": chance.choice(["fw.bin", "radio.bin"]), "invoke": is_invoked, **source}
            parts.append(part if slot is None else part | {"slot": slot})
    value = template(*chance.sample(parts, len(parts)), sequence_number=chance.randrange(1, 1 << 40))
    if chance.random() < 0.5:
        value["dependencies"] = [
            {"envelope": "inner.suit", **chance.choice([{}, {"uri": made.URI}, {"integrated": True}])}
        ]
    if chance.random() < 0.5:
        value |= {"text": {"language": "en", "update": "x" * chance.randrange(1, 300)}}
    members = ["dependency-resolution", "install", "text"]
    return value | {"severable": chance.sample(members, chance.randrange(4))}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_random_templates_make_envelopes_that_the_second_implementation_accepts(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - inputs to compare, no keys
    value = random_template(chance)
    result, key = sign(build(value))
    said = suit_node.verify(tmp_path, result, key)
    assert said["accepted"], said
    wanted = {f"#component-{n}" for n, part in enumerate(value["components"]) if part.get("integrated")}
    more = enumerate(value.get("dependencies", []), len(value["components"]))
    wanted |= {f"#component-{n}" for n, part in more if part.get("integrated")}
    assert said["payloads"] == dict.fromkeys(wanted, "good")
    facts = suit.inspect(MemorySource(result)).facts
    assert not [label for label in facts if label.startswith("Warning")], facts
    bad = flipped(result, result.index(made.VENDOR))
    assert not suit_node.verify(tmp_path, bad, key)["accepted"]


def test_names_give_the_identifiers_of_rfc_9562() -> None:
    named = template({"id": ["app"], "image": "fw.bin"}, vendor="arm.com", device_class="sensor")
    facts = suit.inspect(MemorySource(build(named))).facts
    vendor = uuid.uuid5(uuid.NAMESPACE_DNS, "arm.com")
    assert facts["shared-sequence 1 vendor-id"] == str(vendor) == "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"
    assert facts["shared-sequence 1 class-id"] == str(uuid.uuid5(vendor, "sensor"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"components": []}, "components"),
        ({"unknown": 1}, "unknown"),
        ({"sequence_number": -1}, "sequence_number"),
        ({"components": [{"id": ["a"], "image": "../fw.bin"}]}, "image"),
        ({"components": [{"id": ["hex:0"], "image": "fw.bin"}]}, "'hex:0' is no hex"),
        (
            {"components": [{"id": ["a"], "image": "fw.bin", "uri": "x", "integrated": True}]},
            "integrated and has a URI",
        ),
        ({"components": [{"id": ["a"], "image": "fw.bin", "text": {"version": "1"}}]}, "names no language"),
        ({"dependencies": [{"envelope": "fw.bin"}]}, "not a SUIT envelope"),
        (slots({}, {}), "component 0 is named twice, and its images have no slots of their own"),
        (slots({}, {"id": ["hex:61"]}), "component 0 is named twice, and its images have no slots of their own"),
        (slots({"slot": 1}, {"slot": 1}), "component 0 is named twice, and its images have no slots of their own"),
        (slots({"slot": 0}, {}), "component 0 is named twice, and its images have no slots of their own"),
        (slots({"slot": 0, "invoke": True}, {"slot": 1}), "is invoked from one slot and not from another"),
        (slots({"slot": 0, "uri": "x"}, {"slot": 1}), "is fetched for one slot and not for another"),
        (slots({"slot": 0, "text": {}}, {"slot": 1, "text": {}}), "component 0 has two texts"),
        (slots({"slot": 0}, {"slot": 256}), "slot"),
    ],
)
def test_a_template_that_does_not_fit_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        build(template({"id": ["a"], "image": "fw.bin"}) | change)


@pytest.mark.parametrize("data", [b"{", b'{"vendor": "a", "vendor": "b"}', b"\xff", b"[" * 5000, b"[]"])
def test_a_template_that_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        suit_template.parse(data)
