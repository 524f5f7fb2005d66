"""The test values of ``docs/spec/values``: every document type, a complete evidence, and what must be refused.

Run ``python -m tests.spec.build_values``; ``tests/test_spec.py`` makes them anew and expects no difference.  All keys
are TEST ONLY (``seeded_keys``).  The examples in the pages of ``docs/spec`` are filled from these files.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT
from tests.spec.installation import IMAGES, Installation
from tests.spec.seeded_keys import seed, ssh_key

from sealwright.core import canonical, records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.policy.signatures import Namespace
from sealwright.translog import merkle

SPECIFICATION = PROJECT / "docs" / "spec"
FOLDER = SPECIFICATION / "values"
EXAMPLE = re.compile(r"(?<=\n)(\[values/([a-z0-9-]+)\.json\]\([^)]*\):\n\n```json\n).*?(?=\n```\n)", re.DOTALL)

INVALID: list[tuple[bytes, str]] = [
    (b"", "no value"),
    (b"{", "cut short"),
    (b'{"a":1}\n', "white space after the value"),
    (b' {"a":1}', "white space before the value"),
    (b'{"a": 1}', "white space inside"),
    (b'{"b":1,"a":2}', "members not in order"),
    (b'{"a":1,"a":2}', "a member given twice"),
    (b'{"a":1,"a":1}', "a member given twice with the same value"),
    (b'{"a":null}', "null"),
    (b'{"a":1.0}', "fraction"),
    (b'{"a":1e3}', "exponent"),
    (b'{"a":-1}', "negative integer"),
    (b'{"a":-0}', "minus zero"),
    (b'{"a":01}', "leading zero"),
    (b'{"a":9007199254740992}', "2^53, one more than the greatest integer"),
    (b'{"a":NaN}', "not a number of JSON"),
    (b'{"a":Infinity}', "not a number of JSON"),
    (b'{"\xc3\xa9":1}', "member name that is not ASCII"),
    (b'{"\\u0061":1}', "escape of a plain character in a name"),
    (b'{"a":"\\u0062"}', "escape of a plain character"),
    (b'{"a":"\\/"}', "escaped solidus"),
    (b'{"a":"\\n"}', "line feed U+000A, escaped"),
    (b'{"a":"\n"}', "line feed U+000A, bare"),
    (b'{"a":"\x7f"}', "delete U+007F"),
    (b'{"a":"\xc2\x85"}', "control U+0085"),
    (b'{"a":"\xc2\xad"}', "soft hyphen U+00AD"),
    (b'{"a":"\xe2\x80\xae"}', "right-to-left override U+202E"),
    (b'{"a":"\xe2\x80\x8b"}', "zero-width space U+200B"),
    (b'{"a":"\xef\xbb\xbf"}', "zero-width no-break space U+FEFF"),
    (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
    (b'{"a":"\xef\xbf\xbd"}', "replacement character U+FFFD"),
    (b'{"a":"\xf3\xa0\x80\x81"}', "language tag U+E0001"),
    (b'{"a":"\\ud800"}', "lone surrogate, escaped"),
    (b'{"a":"\xed\xa0\x80"}', "lone surrogate, encoded"),
    (b'{"a":"\xff"}', "not UTF-8"),
    (b'{"a":"\xc1\xa1"}', "overlong UTF-8"),
    (b"{'a':1}", "single quotes"),
    (b'{"a":1,}', "comma after the last member"),
    (b'{"a":1}{}', "something after the value"),
    (b"[" * 17 + b"]" * 17, "17 containers inside one another"),
]
VALID: list[bytes] = [
    b"{}",
    b'{"A":1,"a":2,"aa":3,"b":true}',
    b'{"a":9007199254740991}',
    '{"a":"é 漢 😀 / \\" \\\\"}'.encode(),
    b"[" * 16 + b"]" * 16,
]


def build() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    story = Installation()
    values: dict[str, Any] = {
        name: _signed(story, kind, story.signed[name], namespace) for name, kind, namespace in _documents()
    }
    values["report"] = _signed(story, "report", story.report(), "")
    for section in story.sections.values():
        name = section.type if section.type != "key-profile" else f"key-profile-{section.id.rsplit('/', 1)[1]}"
        values.setdefault(name, _document(story, section.type, records.serialise(section)))
    values["rules"] = _document(story, "rules", canonical.encode(story.rules()))
    values["sections"] = _sections(story)
    values["log"] = _log(story)
    values["sshsig"] = _ssh_signatures(story)
    values["canonical"] = {
        "valid": [text.decode() for text in VALID],
        "invalid": [{"input_base64": canonical.to_base64(data), "reason": reason} for data, reason in INVALID],
    }
    files = {f"{name}.json": _text(value) for name, value in values.items()}
    for name, image in IMAGES.items():
        evidence = story.evidence(name)
        files |= {name: image, f"{name}.sealwright": records.serialise(evidence)}
        files |= {name + sidecar.suffix: sidecar.content for sidecar in evidence.patch.sidecars}
    files["trust.json"] = records.serialise(story.trust())
    files["trust-old.json"] = records.serialise(story.trust(roots=1))
    return files


def _documents() -> Iterator[tuple[str, str, str]]:
    """Yield file, type and SSHSIG namespace of each signed document."""
    for name in ("root", "root-2"):
        yield name, "root", Namespace.ROOT
    for name in ("policy-1", "policy"):
        yield name, "policy", Namespace.POLICY
    yield "request", "request", Namespace.REQUEST
    for name in ("vote-ben", "vote-cleo", "vote-dan", "vote-reject"):
        yield name, "vote", Namespace.VOTE
    yield "restriction", "restriction", Namespace.RESTRICTION
    for name in ("session", "outcome"):
        yield name, name, ""


def _document(story: Installation, kind: str, data: bytes) -> dict[str, Any]:
    instance = story.instance
    if kind == "root" and canonical.decode(data)["version"] == 1:
        instance = NO_INSTANCE
    return {
        "type": kind,
        "document": canonical.decode(data),
        "canonical": data.decode(),
        "instance": instance,
        "digest": document_digest(kind, instance, data),
    }


def _signed(story: Installation, kind: str, signed: SignedDocument, namespace: str) -> dict[str, Any]:
    value = _document(story, kind, signed.document) | ({"namespace": namespace} if namespace else {})
    return value | {"signatures": records.dump(signed.signatures)}


def _sections(story: Installation) -> dict[str, Any]:
    digests = sorted(story.section_digest(section) for section in story.sections.values())
    policy = canonical.decode(story.signed["policy"].document)
    return {
        "sorted_digests": digests,
        "leaf_hashes": [merkle.leaf_hash(bytes.fromhex(digest)).hex() for digest in digests],
        "section_count": policy["section_count"],
        "sections_root": policy["sections_root"],
    }


def _log(story: Installation) -> dict[str, Any]:
    entries = [
        {"index": index, "entry": canonical.decode(data), "canonical": data.decode(), "leaf_hash": _leaf(data)}
        for index, data in enumerate(story.entries)
    ]
    entries[story.intent_index]["digest"] = document_digest("intent", story.instance, story.entries[story.intent_index])
    return {
        "origin": canonical.decode(story.signed["request"].document)["log"],
        "log_key": story.log_vkey,
        "log_ml_dsa_key": str(story.log_ml_dsa_vkey),
        "witness_key": str(story.witness_vkey),
        "checkpoint": story.checkpoint().decode(),
        "roots_by_size": [story.root_hash(size).hex() for size in range(len(story.entries) + 1)],
        "entries": entries,
    }


def _leaf(data: bytes) -> str:
    return merkle.leaf_hash(data).hex()


def _ssh_signatures(story: Installation) -> list[dict[str, Any]]:
    """One signature of each kind of key over the digest of a request, and some that must be refused."""
    good = [ssh_key(name) for name in ("ada",)] + [story.people[name] for name in ("ben", "cleo", "dan")]
    good.append(ssh_key("sk", "sk-ecdsa-sha2-nistp256@openssh.com"))
    message = bytes.fromhex(story.request_digest)
    vote, request = Namespace.VOTE, Namespace.REQUEST
    token, rsa, plain = story.people["ben"], story.people["dan"], story.people["ada"]
    foreign = type(token)(token.kind, token.private, b"ssh:other")
    cases = [(key, key.sign(vote, message), "") for key in good]
    cases += [
        (plain, plain.sign(request, message), "made under another namespace"),
        (plain, plain.sign(vote, seed("another message")), "over another message"),
        (plain, good[2].sign(vote, message), "by another key"),
        (token, token.sign(vote, message, flags=4), "without user presence"),
        (token, token.sign(vote, message, flags=1), "without user verification, which the authenticator demands"),
        (foreign, foreign.sign(vote, message), "FIDO application is not ssh:"),
        (rsa, rsa.sign(vote, message, algorithm="ssh-rsa"), "RSA signature that says SHA-1"),
        (plain, plain.sign(vote, message) + b"\x00", "a byte too many"),
    ]
    return [
        {
            "key": key.line,
            "user_verification": key.kind.startswith("sk-"),
            "namespace": str(vote),
            "message_hex": message.hex(),
            "signature": canonical.to_base64(signature),
            "valid": not reason,
            **({"reason": reason} if reason else {}),
        }
        for key, signature, reason in cases
    ]


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def with_examples(page: str, files: dict[str, bytes]) -> str:
    """Return a page with each example replaced by the document in the file of values that it names."""

    def example(found: re.Match[str]) -> str:
        value = json.loads(files[f"{found[2]}.json"])
        return found[1] + json.dumps(value.get("document", value), indent=2, ensure_ascii=False)

    return EXAMPLE.sub(example, page)


def pages() -> list[Path]:
    """Return the pages of the specification."""
    return sorted(SPECIFICATION.glob("*.md"))


def main() -> None:
    """Write the files, and the examples into the pages."""
    files = build()
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    for page in pages():
        text = page.read_text()
        if (filled := with_examples(text, files)) != text:
            page.write_text(filled)


if __name__ == "__main__":
    main()
