"""A slot names a key of another product, environment, algorithm, format, purpose or grade."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.core.keys import Algorithm
from sealwright.policy import documents as d

IMAGE = b"firmware"


def installation() -> Instance:
    instance = Instance(start=False).with_product("plc")
    instance.with_key("router/production/endorse", purpose=d.Purpose.ENDORSEMENT)
    instance.with_key("router/production/stamp", purpose=d.Purpose.TIMESTAMP)
    instance.with_key("router/production/fit", image_format="fit")
    instance.with_key("router/production/p384", algorithm=Algorithm.ECDSA_P384_SHA384)
    instance.with_key("router/production/old", state=d.State.REVOKED)
    instance.with_key("router/development/any", image_format=None)
    instance.log_policy()
    instance.start_signer()
    return instance


def request_with_key(instance: Instance, profile: str, **changes) -> Code | None:
    slot = instance.slot(IMAGE, key_profile=profile)
    return instance.approved(slots=(slot,), **changes)


@pytest.mark.parametrize(
    ("profile", "found"),
    [
        ("plc/production/1", "is for plc/production"),
        ("router/development/1", "is for router/development"),
        ("router/production/endorse", "is for endorsement"),
        ("router/production/stamp", "is for timestamp"),
        ("router/production/fit", "signs fit, the artifact is raw"),
        ("router/production/p384", "the digest has 32 bytes"),
        ("router/production/old", "is not active"),
        ("router/production/unheard-of", "is not active"),
    ],
)
def test_a_key_that_is_not_for_this_is_refused(profile, found):
    instance = installation()
    submission = request_with_key(instance, profile)
    _, result = instance.ask(submission)
    assert result.signed[0].refusal.code is Code.KEY_PROFILE_MISMATCH
    assert found in result.signed[0].refusal.message
    assert instance.signatures_made == 0


def test_the_key_of_this_product_environment_and_format_signs():
    instance = installation()
    assert instance.sign(request_with_key(instance, "router/production/1"))


def test_outside_production_a_key_may_sign_any_format():
    instance = installation()
    slot = instance.slot(IMAGE, key_profile="router/development/any")
    assert instance.sign(instance.submit(instance.make_request(environment="development", slots=(slot,))))


def test_a_production_key_signs_nothing_in_a_development_request():
    instance = installation()
    slot = instance.slot(IMAGE, key_profile="router/production/1")
    submission = instance.submit(instance.make_request(environment="development", slots=(slot,)))
    assert instance.refusal(submission) is Code.KEY_PROFILE_MISMATCH


def test_an_artifact_of_another_format_is_refused():
    instance = installation()
    artifact = instance.artifact(IMAGE, image_format="uefi-pe")
    assert instance.refusal(instance.approved(artifacts=(artifact,))) is Code.KEY_PROFILE_MISMATCH


def test_a_digest_of_another_length_is_refused():
    instance = installation()
    slot = replace(instance.slot(IMAGE, key_profile="router/production/1"), digest="0" * 128)
    assert instance.refusal(instance.approved(slots=(slot,))) is Code.KEY_PROFILE_MISMATCH


def test_a_software_key_does_not_sign_where_the_scope_wants_hardware():
    instance = installation()
    scope = instance.sections["scope", "router/production"]
    instance.put(replace(scope, key_grades=(d.KeyGrade.HARDWARE_CLAIMED, d.KeyGrade.HARDWARE_ATTESTED)))
    instance.log_policy()
    assert instance.refusal(instance.approved()) is Code.KEY_PROFILE_MISMATCH
    profile = instance.sections["key-profile", "router/production/1"]
    instance.put(replace(profile, grade=d.KeyGrade.HARDWARE_CLAIMED))
    instance.log_policy()
    assert instance.sign(instance.approved())


def test_a_partition_that_this_signer_does_not_hold_is_a_failure_in_the_outcome():
    instance = installation()
    del instance.partitions["router-production"]
    assert instance.sign(instance.approved()) == (b"",)


def test_a_scope_that_the_policy_does_not_know_is_refused():
    instance = installation()
    assert instance.refusal(instance.approved(product="toaster")) is Code.REQUEST_INVALID
    assert instance.refusal(instance.approved(environment="test")) is Code.REQUEST_INVALID
