"""Envelopes built from a template: the draft's own examples come out, and a second implementation accepts them."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import cbor2
import pytest
from tests.formats import suit_envelopes as made
from tests.formats.throwaway import signer
from tests.verifiers import suit_node

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import suit, suit_building, suit_template, targets
from sealwright.formats.interface import Trust

IMAGE = b"firmware" * 1000
VENDOR, CLASS = str(uuid.UUID(bytes=made.VENDOR)), str(uuid.UUID(bytes=made.CLASS))
FILES = {"fw.bin": IMAGE, "radio.bin": b"radio", "inner.suit": made.envelope()}
SAMPLE_DIGEST = bytes.fromhex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")


def template(*components: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"sequence_number": 7, "vendor": VENDOR, "device_class": CLASS, "components": list(components), **members}


def build(value: dict[str, Any]) -> bytes:
    files = {name: MemorySource(data) for name, data in FILES.items()}
    return b"".join(suit_building.build(suit_template.parse(json.dumps(value).encode()), files))


def sign(image: bytes) -> tuple[bytes, Any]:
    by = signer(Algorithm.ECDSA_P256_SHA256)
    prepared = suit.prepare(MemorySource(image), [by.signing_key()], {}, targets.ANY)
    result = b"".join(prepared.assemble(by.sign_all(prepared)).apply(MemorySource(image)))
    assert suit.verify(MemorySource(result), Trust(keys=(by.public_key,)), {}).keys == (by.public_key,)
    return result, by.public_key


def with_sample(manifest: bytes) -> bytes:
    """Put the draft's sample digest and size in place of those of our image."""
    ours = made.dumps([-16, hashlib.sha256(IMAGE).digest()])
    assert ours in manifest
    return manifest.replace(ours, made.dumps([-16, SAMPLE_DIGEST])).replace(
        b"\x0e" + made.dumps(len(IMAGE)), b"\x0e" + made.dumps(34768)
    )


def test_the_manifest_of_the_drafts_example_0_comes_out_byte_for_byte() -> None:
    ours = build(template({"id": ["hex:00"], "image": "fw.bin", "invoke": True}, sequence_number=0))
    theirs = made.decoded(made.public_vectors()["example0.txt 1"])
    assert with_sample(made.decoded(ours)[3]) == theirs[3]


def test_the_manifest_and_members_of_the_drafts_example_2_come_out_byte_for_byte() -> None:
    theirs = made.decoded(made.public_vectors()["example2.txt 3"])
    text = cbor2.loads(theirs[23])["en-US"]
    component = {"id": ["hex:00"], "image": "fw.bin", "invoke": True}
    component["uri"] = "http://example.com/very/long/path/to/file/file.bin"
    component["text"] = {"vendor_domain": text[(b"\x00",)][3], "description": text[(b"\x00",)][5]}
    value = template(component, sequence_number=2, reference_uri="https://git.io/JJYoj")
    value |= {"text": {"language": "en-US", "description": text[1]}, "severable": ["install", "text"]}
    ours = made.decoded(build(value))
    assert with_sample(ours[3]) == theirs[3]
    assert (ours[20], ours[23]) == (theirs[20], theirs[23])


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
        bad = result[:at] + bytes([result[at] ^ 1]) + result[at + 1 :]
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
    ],
)
def test_a_template_that_does_not_fit_is_refused_by_name(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        build(template({"id": ["a"], "image": "fw.bin"}) | change)


@pytest.mark.parametrize("data", [b"{", b'{"vendor": "a", "vendor": "b"}', b"\xff", b"[" * 5000, b"[]"])
def test_a_template_that_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        suit_template.parse(data)
