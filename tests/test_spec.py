"""``docs/spec`` says what the code does: forms of members, schemas, examples, limits, and values that can be tried."""

import ast
import dataclasses
import hashlib
import json
import re
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from tests.simulators.instance import Instance
from tests.spec import build_schemas, build_values
from tests.spec.build_values import FOLDER, IMAGES, SPECIFICATION, pages
from tests.spec.forms import member_forms

from sealwright.core import canonical, envelopes, errors, keys, patches, records, sshsig
from sealwright.core.envelopes import Envelope
from sealwright.core.errors import FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.evidence import bundle
from sealwright.evidence.bundle import MAX_EVIDENCE_BYTES, Evidence, TrustFile
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS
from sealwright.policy import documents, entries, fold, minutes, sections
from sealwright.policy.documents import DAY_SECONDS
from sealwright.signer import endpoint, engine, heads, protocol
from sealwright.translog import merkle, notes

MODULES = (envelopes, patches, documents, entries, bundle, protocol, minutes)
TEXTS = {page.name: page.read_text() for page in pages()}
VALUES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
DOCUMENTS = {name: value for name, value in VALUES.items() if "canonical" in value}
SIGNED = {name: value for name, value in DOCUMENTS.items() if "signatures" in value}


def defined_in(module: ModuleType, kind: Any) -> list[type[Any]]:
    found = [value for value in vars(module).values() if isinstance(value, type) and kind(value)]
    return [value for value in found if value.__module__ == module.__name__]


RECORDS = [r for m in MODULES for r in defined_in(m, dataclasses.is_dataclass) if not r.__subclasses__()]
CHOICES = [c for m in (*MODULES, keys) for c in defined_in(m, lambda value: issubclass(value, StrEnum))]


# The pages


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_record_has_a_table_with_the_form_of_each_member(record):
    table = r"^\| member \| form \| meaning \|\n\|---[^\n]*\n((?:\|[^\n]*\n)+)"
    heading = re.compile(rf"^##+ `{record.__name__}`$.*?{table}", re.MULTILINE | re.DOTALL)
    (rows,) = [found[1] for text in TEXTS.values() if (found := heading.search(text))]
    cells = (re.split(r"(?<!\\)\|", row)[1:3] for row in rows.splitlines())
    assert {name.strip(" `"): form.strip() for name, form in cells} == member_forms(record)


@pytest.mark.parametrize("choices", CHOICES, ids=lambda choices: choices.__name__)
def test_every_choice_is_written_down_beside_its_name(choices):
    values = [f"`{choice.value}`" for choice in choices]
    assert any(f"`{choices.__name__}`" in text and all(v in text for v in values) for text in TEXTS.values())


def test_the_forbidden_code_points_on_the_page_are_those_of_the_code():
    ranges = re.findall(r"^\| U\+([0-9A-F]+) \| U\+([0-9A-F]+) \|", TEXTS["canonical-form.md"], re.MULTILINE)
    listed = {code for first, last in ranges for code in range(int(first, 16), int(last, 16) + 1)}
    assert listed == {code for code in range(0x110000) if canonical._FORBIDDEN.search(chr(code))}


@pytest.mark.parametrize(
    ("page", "limit", "unit"),
    [
        ("canonical-form.md", canonical.MAX_DOCUMENT_BYTES, "bytes"),
        ("canonical-form.md", canonical.MAX_DEPTH, "containers"),
        ("canonical-form.md", protocol.MAX_FRAME_BYTES, "(16 MiB)"),
        ("canonical-form.md", MAX_EVIDENCE_BYTES, "(16 MiB)"),
        ("evidence.md", MAX_EVIDENCE_BYTES, "bytes"),
        ("log-entries.md", entries.MAX_ENTRY_BYTES, "bytes"),
        ("log-entries.md", fold.REMEMBERED_INTENTS, "."),
        ("log.md", notes.MAX_NOTE_BYTES, "bytes"),
        ("log.md", notes.MAX_SIGNATURES, "signature lines"),
        ("signatures.md", sshsig.MAX_BYTES, "bytes"),
        ("root.md", documents.MAX_ROOT_SECONDS, "(1,830 days)"),
        ("policy.md", documents.MAX_POLICY_SECONDS, "(400 days)"),
        ("request.md", documents.MAX_REQUEST_SECONDS, "(30 days)"),
        ("request.md", documents.MAX_SLOTS, ";"),
        ("request.md", keys.MAX_WHOLE_MESSAGE_BYTES, "bytes"),
        ("authorise.md", documents.MAX_CLOCK_SKEW_SECONDS, "seconds"),
        ("signer-protocol.md", documents.MAX_CLOCK_SKEW_SECONDS, "seconds"),
        ("signer-protocol.md", documents.MAX_RELEASE_DELAY_SECONDS, "seconds"),
        ("signer-protocol.md", engine.MAX_PENDING, "intents"),
        ("signer-protocol.md", endpoint.MAX_CONNECTIONS, "connections"),
        ("signer-protocol.md", endpoint.FRAME_TIMEOUT_SECONDS, "seconds"),
        ("signer-protocol.md", heads.SLOT_BYTES, ", written in turn"),
        ("README.md", documents.MAX_ROOT_SECONDS // DAY_SECONDS, "days"),
        ("README.md", envelopes.MAX_SIGNATURE_BYTES, "bytes"),
    ],
)
def test_every_limit_in_code_stands_on_its_page(page, limit, unit):
    assert re.search(rf"(?<![\d,]){limit:,}\b ?{re.escape(unit)}", TEXTS[page])


def test_every_error_code_that_a_page_names_is_one():
    codes = {code for text in TEXTS.values() for code in re.findall(r"\(`([a-z]+(?:-[a-z]+)+)`\)", text)}
    known = {str(code) for code in errors.Code}
    choices = {str(choice) for kind in CHOICES for choice in kind} | {"webauthn-sk"}
    assert codes - choices <= known
    assert {c for c in known if c.startswith(("root-", "policy-", "request", "vote-", "quorum", "intent"))} <= codes


def test_every_link_leads_somewhere():
    for name, text in TEXTS.items():
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", text):
            path = (SPECIFICATION / target).resolve() if target else SPECIFICATION / name
            if path.name != "errors.md":  # its own test looks there
                assert path.exists(), f"{name} links to {target}"
            if anchor:
                assert anchor in anchors(path.read_text()), f"{name} links to {target}#{anchor}"


def anchors(text: str) -> list[str]:
    """The anchors that a web page makes of headings."""
    made: list[str] = []
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        anchor = re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")
        again = sum(a == anchor or re.fullmatch(re.escape(anchor) + r"-\d+", a) is not None for a in made)
        made.append(f"{anchor}-{again}" if again else anchor)
    return made


def test_the_examples_on_the_pages_are_the_values():
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    for name, text in TEXTS.items():
        assert build_values.with_examples(text, files) == text, f"{name}: run python -m tests.spec.build_values"


# Schemas


def test_the_schemas_are_those_of_the_records():
    built = build_schemas.build()
    assert {path.name: path.read_text() for path in build_schemas.FOLDER.iterdir()} == built


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((build_schemas.FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def schema_name(value: dict[str, Any]) -> str:
    """The schema for a document, entry, evidence or trust file."""
    kind = value.get("type") or value["entry"]
    if "entry" in value:
        return "entry-granting" if kind in ("root", "policy", "session") else f"entry-{kind}"
    return str(kind)


def simulated() -> list[bytes]:
    """Real documents and entries of an installation that is not the one of the values."""
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben", "cleo")
    index, result = instance.ask(submission)
    outcome = instance.outcome_of(result)
    instance.log_outcome(index, outcome)
    instance.restrict(documents.RestrictionKind.CANCEL, submission.digest)
    signed = [submission.request, *submission.votes, outcome, instance.signed_root(instance.root)]
    signed.append(instance.signed_policy(instance.make_policy()))
    return [*(s.document for s in signed), *instance.section_bytes(), *instance.log.entries]


def files(suffix: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(FOLDER.glob(f"*{suffix}"))]


@pytest.fixture(scope="module")
def real() -> list[Any]:
    datas = [value["canonical"].encode() for name, value in DOCUMENTS.items() if name != "rules"]
    datas += [entry["canonical"].encode() for entry in VALUES["log"]["entries"]]
    datas += [*files(".sealwright"), *files("trust.json"), *files("trust-old.json"), *simulated()]
    return [canonical.decode(data, max_bytes=MAX_EVIDENCE_BYTES) for data in datas]


def test_real_documents_fit_their_schemas_and_every_schema_is_tried(real):
    tried = set()
    for value in real:
        tried.add(name := schema_name(value))
        jsonschema.validate(value, schema(name), jsonschema.Draft202012Validator)
    assert set(build_schemas.RECORDS) - tried == {"dossier", "minutes", "round", "round-result"}


def test_a_schema_refuses_an_unknown_member_and_a_missing_one(real):
    for value in real:
        name = schema_name(value)
        for wrong in (value | {"unknown": 1}, dict(list(value.items())[1:])):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, schema(name), jsonschema.Draft202012Validator)
            with pytest.raises(FormatError):
                records.load(build_schemas.RECORDS[name], wrong)


@pytest.mark.parametrize(
    ("name", "member", "wrong"),
    [
        ("root", "salt", "00"),
        ("root", "threshold", 0),
        ("root", "administrators", []),
        ("gate-key", "key", canonical.to_base64(bytes(31))),
        ("gate-key", "key", canonical.to_base64(bytes(32))[:-2] + "B="),
        ("person", "state", "idle"),
        ("request", "format", 2),
        ("request", "release", "1 2"),
        ("vote-ben", "person", "Ben"),
        ("vote-ben", "time", "now"),
        ("outcome", "slots", [{"key": "0" * 64, "algorithm": "md5"}]),
    ],
)
def test_schema_and_record_refuse_the_same(name, member, wrong):
    kind = DOCUMENTS[name]["type"]
    value = DOCUMENTS[name]["document"] | {member: wrong}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema(kind), jsonschema.Draft202012Validator)
    with pytest.raises(FormatError):
        records.load(build_schemas.RECORDS[kind], value)


# Values


def test_the_values_can_be_made_again():
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == build_values.build()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_digest_is_what_the_page_says(name):
    value = DOCUMENTS[name]
    data = value["canonical"].encode()
    assert canonical.decode(data) == value["document"]
    prefix = b"sealwright/" + value["type"].encode() + b"/v1\x00" + bytes.fromhex(value["instance"])
    assert hashlib.sha256(prefix + data).hexdigest() == value["digest"]


@pytest.mark.parametrize("name", [name for name, value in SIGNED.items() if "namespace" in value])
def test_an_ssh_signature_of_a_value_verifies(name):
    value = SIGNED[name]
    (envelope,) = [records.load(Envelope, found) for found in value["signatures"]]
    root, people = VALUES["root"]["document"], evidence_people()
    people |= {a["person"]: a["authenticators"] for a in root["administrators"]}
    key = sshsig.parse_public_key(people[envelope.signer][0]["key"])
    message = bytes.fromhex(value["digest"])
    sshsig.verify(envelope.signature, key=key, namespace=value["namespace"], message=message)
    with pytest.raises(VerificationError):
        sshsig.verify(envelope.signature, key=key, namespace=value["namespace"], message=bytes(32))


def evidence_people() -> dict[str, Any]:
    evidence = records.parse(Evidence, files(".bin.sealwright")[0])
    found = [sections.parse_section(section.document) for section in evidence.sections]
    return {s.id: records.dump(s.authenticators) for s in found if isinstance(s, documents.Person)}


@pytest.mark.parametrize("at", range(len(VALUES["sshsig"])))
def test_ssh_signatures_are_taken_or_refused_as_their_reason_says(at):
    case = VALUES["sshsig"][at]

    def verify() -> None:
        sshsig.verify(
            canonical.from_base64(case["signature"]),
            key=sshsig.parse_public_key(case["key"]),
            namespace=case["namespace"],
            message=bytes.fromhex(case["message_hex"]),
            require_user_verification=case["user_verification"],
        )

    if case["valid"]:
        verify()
    else:
        with pytest.raises(SealwrightError):
            verify()


def test_canonical_json_is_taken_and_refused_as_listed():
    for text in VALUES["canonical"]["valid"]:
        assert canonical.encode(canonical.decode(text.encode())) == text.encode()
    for case in VALUES["canonical"]["invalid"]:
        with pytest.raises(FormatError):
            canonical.decode(canonical.from_base64(case["input_base64"]))


def test_the_sections_of_the_values_have_the_root_of_the_policy():
    value = VALUES["sections"]
    leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(digest)).digest() for digest in value["sorted_digests"]]
    assert [leaf.hex() for leaf in leaves] == value["leaf_hashes"]
    assert value["sorted_digests"] == sorted(value["sorted_digests"])
    assert merkle.root_of(leaves).hex() == value["sections_root"] == VALUES["policy"]["document"]["sections_root"]


def test_the_log_of_the_values_folds_into_the_policy_of_the_values():
    state = fold.LogState(instance=VALUES["policy"]["instance"], origin=VALUES["log"]["origin"])
    taken = [state.apply(entry["canonical"].encode()) for entry in VALUES["log"]["entries"]]
    assert all(taken)
    assert state.policy is not None
    assert state.policy.digest == VALUES["policy"]["digest"]


def given(name: str, trust: str = "trust") -> tuple[Evidence, TrustFile]:
    evidence = records.parse(Evidence, (FOLDER / f"{name}.sealwright").read_bytes(), max_bytes=MAX_EVIDENCE_BYTES)
    return evidence, records.parse(TrustFile, (FOLDER / f"{trust}.json").read_bytes())


@pytest.mark.parametrize("trust", ["trust", "trust-old"])
@pytest.mark.parametrize("name", IMAGES)
def test_the_evidence_of_the_values_is_accepted_and_refused_after_one_flipped_bit(name, trust):
    evidence, known = given(name, trust)
    image = (FOLDER / name).read_bytes()
    verified = verify_evidence(evidence, MemorySource(image), known, FORMATS)
    assert (verified.displayed, verified.recomputed, verified.is_witnessed) == (2, 1, trust == "trust")
    with pytest.raises(VerificationError, match="this is not the approved image"):
        verify_evidence(evidence, MemorySource(bytes((image[0] ^ 1,)) + image[1:]), known, FORMATS)


def test_each_leaf_of_the_evidence_is_bound():
    """Every text and number of the evidence, changed alone, makes the verification fail."""
    evidence, trust = given("app.bin")
    image = MemorySource((FOLDER / "app.bin").read_bytes())
    value, accepted = records.dump(evidence), []
    for path in leaves(value):
        try:
            verify_evidence(records.load(Evidence, changed(value, path)), image, trust, FORMATS)
        except SealwrightError:
            continue
        accepted.append(path)
    assert not accepted


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in items for leaf in leaves(item, (*path, key))]
    return [path]


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        if isinstance(value, int):
            return value + 1
        middle = len(value) // 2
        return value[:middle] + ("a" if value[middle] != "a" else "b") + value[middle + 1 :]
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:])
    return copy


def test_roots_of_evidence_follow_one_another():
    evidence, trust = given("boot.bin")
    image = MemorySource((FOLDER / "boot.bin").read_bytes())
    doubled = dataclasses.replace(evidence, roots=(*evidence.roots, evidence.roots[-1]))
    with pytest.raises(VerificationError, match="root version: expected 3, got 2"):
        verify_evidence(doubled, image, trust, FORMATS)


def test_the_python_program_of_no_page_is_broken():
    for text in TEXTS.values():
        for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            ast.parse(program)


def test_no_private_key_lies_among_the_values():
    for path in Path(FOLDER).iterdir():
        assert b"PRIVATE KEY" not in path.read_bytes()
