"""SUIT envelopes for tests: the public vectors, and small ones put together with cbor2 alone."""

import hashlib
import re
from typing import Any

import cbor2
from tests.conftest import vectors

from sealwright.core.keys import PublicKey

VENDOR, CLASS = bytes.fromhex("fa6b4a53d5ad5fdfbe9de663e4d41ffe"), bytes.fromhex("1492af1425695e48bf429b2d51f2ab45")
PAYLOAD = b"firmware of a sensor " * 40
URI = "https://example.com/fw.bin"


def public_vectors() -> dict[str, bytes]:
    """Every envelope of libcsuit and of the draft's examples, by name."""
    folder = vectors("suit")
    found = {path.name: path.read_bytes() for path in sorted((folder / "libcsuit").glob("*.suit"))}
    for path in sorted([*(folder / "libcsuit").glob("*.md"), *(folder / "manifest-spec").glob("*.txt")]):
        blocks = re.findall(r"^~~~+\n((?:[0-9a-fA-F]{2,60}\n)+)~~~+$", path.read_text(), re.MULTILINE)
        found |= {f"{path.name} {n}": bytes.fromhex("".join(hexes.split())) for n, hexes in enumerate(blocks, 1)}
    return {name: data for name, data in found.items() if data[:2] == b"\xd8\x6b" or data[:1] in b"\xa2\xa3"}


def anchor() -> PublicKey:
    """The public key of the vectors."""
    return PublicKey((vectors("suit") / "libcsuit" / "trust_anchor_secp256r1_pub.der").read_bytes())


def dumps(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)


def wrapped(data: bytes) -> bytes:
    """A byte string with its head: what a SUIT_Digest covers."""
    return dumps(data)


def suit_digest(data: bytes, name: str = "sha256") -> list[Any]:
    number = {"sha256": -16, "sha384": -43, "sha512": -44}[name]
    return [number, hashlib.new(name, data).digest()]


def manifest(
    *, shared: list[Any] | None = None, uri: str = "#fw", payload: bytes = PAYLOAD, **members: Any
) -> dict[int, Any]:
    """A manifest that installs, validates and invokes one image; ``m24=...`` sets member 24."""
    about = {1: VENDOR, 2: CLASS, 3: dumps(suit_digest(payload)), 14: len(payload)}
    common = {2: [[b"\x00"]], 4: dumps([20, about, 1, 15, 2, 15] if shared is None else shared)}
    install = dumps([20, {21: uri}, 21, 2, 3, 15])
    made = {1: 1, 2: 7, 3: dumps(common), 7: dumps([3, 15]), 9: dumps([23, 2]), 20: install}
    return made | {int(name[1:]): value for name, value in members.items()}


def envelope(
    members: dict[int, Any] | None = None, *, payload: bytes | None = PAYLOAD, blocks: tuple[bytes, ...] = (),
    is_tagged: bool = True, has_wrapper: bool = True, **more: Any,
) -> bytes:  # fmt: skip
    """An envelope around a manifest; severable members and others by ``e20=...``."""
    encoded = dumps(manifest() if members is None else members)
    made: dict[Any, Any] = {3: encoded}
    if has_wrapper:
        made[2] = dumps([dumps(suit_digest(wrapped(encoded))), *blocks])
    made |= {int(name[1:]): value for name, value in more.items()}
    if payload is not None:
        made["#fw"] = payload
    return dumps(cbor2.CBORTag(107, made) if is_tagged else made)


def severable(*, payload: bytes | None = PAYLOAD, uri: str = "#fw") -> bytes:
    """An envelope whose install and text stand beside the manifest."""
    whole = manifest(uri=uri)
    install = whole[20]
    text = dumps({"en": {1: "A sensor", (b"\x00",): {3: "example.com", 6: "1.2.3"}}})
    members = whole | {20: suit_digest(wrapped(install)), 23: suit_digest(wrapped(text))}
    return envelope(members, payload=payload, e20=install, e23=text)


def decoded(data: bytes) -> dict[Any, Any]:
    """The envelope as cbor2 reads it, without its tag."""
    value = cbor2.loads(data)
    return dict(value.value if isinstance(value, cbor2.CBORTag) else value)


def blocks_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """The SUIT_Digest, which is what blocks sign, and the blocks."""
    digest, *blocks = cbor2.loads(decoded(data)[2])
    return digest, blocks


def replaced(data: bytes, **changes: Any) -> bytes:
    """The same envelope with members changed (``e3=...``) and nothing recomputed; None takes a member away."""
    value = decoded(data)
    for name, change in changes.items():
        value[int(name[1:])] = change
    kept = {label: member for label, member in value.items() if member is not None}
    return dumps(cbor2.CBORTag(107, kept) if data[:2] == b"\xd8\x6b" else kept)


def redigested(data: bytes) -> bytes:
    """The same with the digest in the wrapper recomputed: only the signatures are left to say no."""
    _, blocks = blocks_of(data)
    digest = dumps(suit_digest(wrapped(decoded(data)[3])))
    return replaced(data, e2=dumps([digest, *blocks]))
