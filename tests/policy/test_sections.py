"""Sections: what a complete policy must look like, and what evidence may show of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators.instance import Instance

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, FormatError, RefusedError, SealwrightError, VerificationError
from sealwright.core.keys import Algorithm
from sealwright.policy import documents as d
from sealwright.policy.sections import Sections, load_complete, load_proven, parse_section
from sealwright.translog import merkle, proofs


def load(instance: Instance) -> Sections:
    return load_complete(instance.make_policy(), instance.section_bytes(), instance.root, instance.instance)


def refusal(instance: Instance) -> str:
    with pytest.raises(RefusedError) as error:
        load(instance)
    assert error.value.code is Code.POLICY_INVALID
    return error.value.message


@pytest.fixture
def instance() -> Instance:
    return Instance(start=False)


def scope(instance: Instance, name: str = "router/production", **changes) -> None:
    instance.put(replace(instance.sections["scope", name], **changes))


def profile(instance: Instance, name: str = "router/production/1", **changes) -> None:
    instance.put(replace(instance.sections["key-profile", name], **changes))


def test_a_sound_policy_is_loaded_and_looked_up(instance):
    sections = load(instance)
    assert sections.get(d.Person, "ada") == instance.sections["person", "ada"]
    assert sections.get(d.Person, "eve") is None
    assert sections.get(d.Pipeline, "ada") is None
    assert [p.id for p in sections.all(d.Person)] == ["ada", "ben", "cleo", "dan"]
    ada = instance.sections["person", "ada"]
    assert sections.digest_of(ada) == document_digest("person", instance.instance, records.serialise(ada))


# Scopes


def test_a_scope_is_named_after_its_product_and_environment(instance):
    instance.sections["scope", "x"] = replace(instance.sections["scope", "router/production"], id="router/prod")
    assert "is not named after" in refusal(instance)


def test_a_production_scope_asks_for_an_approval(instance):
    scope(instance, quorum=())
    assert refusal(instance) == "scope router/production asks for no approval"


def test_a_development_scope_need_not(instance):
    scope(instance, "router/development", quorum=())
    assert load(instance)


def test_a_group_cannot_ask_for_more_recomputed_approvals_than_approvals(instance):
    scope(instance, quorum=(d.QuorumGroup(roles=("approver",), approvals=1, recomputed=2),))
    assert "more recomputed approvals than approvals" in refusal(instance)


@pytest.mark.parametrize(
    "value",
    [
        {"roles": [], "approvals": 1, "recomputed": 0},
        {"roles": ["approver"], "approvals": 0, "recomputed": 0},
        {"roles": ["approver"], "approvals": 17, "recomputed": 0},
        {"roles": ["approver"], "approvals": 1, "recomputed": -1},
        {"roles": ["Approver"], "approvals": 1, "recomputed": 0},
    ],
)
def test_a_quorum_group_outside_its_bounds_is_unreadable(value):
    with pytest.raises(FormatError):
        records.load(d.QuorumGroup, value)


# Key profiles


def test_a_key_profile_belongs_to_a_scope(instance):
    del instance.sections["scope", "router/development"]
    assert "belongs to no scope" in refusal(instance)


def test_a_key_makes_signatures_of_its_algorithm(instance):
    profile(instance, algorithm=Algorithm.RSA_PKCS1_SHA256)
    assert "cannot sign rsa-pkcs1-sha256" in refusal(instance)


def test_an_algorithm_that_signs_messages_gets_no_digest(instance):
    profile(instance, signs="message")
    assert "does not sign a message" in refusal(instance)
    instance.with_key("router/production/1", algorithm=Algorithm.ED25519, signs="digest")
    assert "does not sign a digest" in refusal(instance)


def test_in_production_a_key_signs_one_format(instance):
    profile(instance, image_format=None)
    assert "names no format" in refusal(instance)


def test_an_attested_key_names_the_minutes_of_its_ceremony(instance):
    profile(instance, grade=d.KeyGrade.HARDWARE_ATTESTED)
    assert "is attested, and names no minutes" in refusal(instance)
    profile(instance, minutes="ab" * 32)
    found = load(instance).get(d.KeyProfile, "router/production/1")
    assert found is not None
    assert (found.grade, found.minutes) == ("hardware-attested", "ab" * 32)


def test_outside_production_it_need_not(instance):
    profile(instance, "router/development/1", image_format=None)
    assert load(instance)


def test_a_partition_holds_keys_of_one_scope(instance):
    profile(instance, "router/development/1", partition="router-production")
    assert "more than one product or environment" in refusal(instance)


def test_keys_of_one_scope_lie_in_one_partition(instance):
    instance.with_key("router/production/2", partition="elsewhere")
    assert "more than one partition" in refusal(instance)


def test_a_key_has_one_profile(instance):
    key = instance.sections["key-profile", "router/production/1"].public_key
    instance.with_key("router/production/2", public_key=key)
    assert "have the same key" in refusal(instance)
    instance.with_key("router/production/2")
    assert load(instance)


@pytest.mark.parametrize("key", [b"\x00" * 91, b"0" * 32])
def test_bytes_that_are_no_key_are_refused(instance, key):
    profile(instance, public_key=key)
    with pytest.raises(SealwrightError):
        load(instance)


# People and pipelines


def test_a_person_and_a_pipeline_have_different_ids(instance):
    pipeline = instance.pipeline("ci", controllers=("ada",))
    instance.put(replace(pipeline, id="dan"))
    assert "a pipeline has the id of the person dan" in refusal(instance)


def test_a_pipeline_never_has_the_id_of_an_administrator(instance):
    """With the same key, too: a pipeline must not be taken for who signs roots."""
    administrator = instance.root.administrators[0]
    pipeline = replace(instance.pipeline("ci", controllers=("ada",)), authenticators=administrator.authenticators)
    instance.put(pipeline)
    assert "belongs to somebody else too" in refusal(instance)
    del instance.sections["pipeline", "ci"]
    instance.put(replace(pipeline, id=administrator.person))
    assert f"a pipeline has the id of the person {administrator.person}" in refusal(instance)


def test_an_authenticator_in_an_unusual_spelling_is_refused(instance):
    line = instance.people["ada"].key.line()
    for spelled in (line + " ada@host", " " + line, line.replace(" ", "  "), line.replace("ssh-ed25519", "ssh-rsa")):
        instance.put(instance.person("ada", authenticators=(d.Authenticator(key=spelled),)))
        with pytest.raises(FormatError):
            load(instance)


def test_a_pipelines_controllers_are_people_of_the_policy(instance):
    instance.put(instance.pipeline("ci", controllers=("ada", "nobody")))
    assert refusal(instance) == "pipeline ci is controlled by nobody, who is not in the policy"


# What evidence shows


def proven(instance: Instance, *wanted: tuple[str, str]) -> list[tuple[bytes, int, list[bytes]]]:
    by_digest = {
        document_digest(s.type, instance.instance, records.serialise(s)): s for s in instance.sections.values()
    }
    leaves = [merkle.leaf_hash(bytes.fromhex(digest)) for digest in sorted(by_digest)]

    def subtree(height: int, index: int) -> bytes:
        return merkle.root_of(leaves[index << height : (index + 1) << height])

    return [
        (records.serialise(by_digest[digest]), index, proofs.inclusion_proof(index, len(leaves), subtree))
        for index, digest in enumerate(sorted(by_digest))
        if (by_digest[digest].type, by_digest[digest].id) in wanted
    ]


USED = (("person", "ben"), ("scope", "router/production"), ("key-profile", "router/production/1"))


def show(instance: Instance, sections) -> Sections:
    return load_proven(instance.make_policy(), sections, instance.root, instance.instance)


def test_sections_with_their_proofs_are_loaded(instance):
    assert show(instance, proven(instance, *USED)).get(d.Person, "ben")


def test_a_section_that_is_not_in_the_policy_is_refused(instance):
    (document, index, proof), *_ = proven(instance, ("person", "ben"))
    for wrong in (
        (document.replace(b'"approver"', b'"approver2"'), index, proof),
        (document, index ^ 1, proof),
        (document, index, proof[:-1]),
        (document, index, [*proof, bytes(32)]),
    ):
        with pytest.raises(VerificationError):
            show(instance, [wrong])


def test_a_section_shown_twice_is_refused(instance):
    with pytest.raises(RefusedError, match="is there twice"):
        show(instance, proven(instance, *USED) * 2)


def test_sections_that_break_a_rule_are_refused_in_evidence_too(instance):
    # No honest signer loads such a policy; a verifier must not believe one that did.
    scope(instance, quorum=())
    with pytest.raises(RefusedError, match="asks for no approval"):
        show(instance, proven(instance, *USED))


def test_one_key_under_two_people_is_refused_in_evidence_too(instance):
    instance.put(instance.person("cleo", authenticators=instance.sections["person", "ben"].authenticators))
    with pytest.raises(RefusedError, match="belongs to somebody else"):
        show(instance, proven(instance, *USED, ("person", "cleo")))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_section_are_a_format_error(data):
    with pytest.raises(FormatError):
        parse_section(data)


@pytest.mark.parametrize("kind", ["gate-key", "key-profile"])
def test_an_ed25519_key_for_which_anybody_can_sign_is_refused(instance, kind):
    weak = bytes(32)
    if kind == "gate-key":
        instance.put(d.GateKey(type="gate-key", format=1, salt="00" * 16, id="g", key=weak, state=d.State.ACTIVE))
    else:
        spki = bytes.fromhex("302a300506032b6570032100") + weak
        profile(instance, public_key=spki, algorithm=Algorithm.ED25519, signs="message")
    with pytest.raises(FormatError, match="small order"):
        load(instance)
