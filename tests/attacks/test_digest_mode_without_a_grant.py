"""A request in digest mode: nobody of ours would see the image, and no grant allows that."""

from dataclasses import replace

from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy.documents import Mode


def test_digest_mode_is_refused_where_the_scope_does_not_name_it():
    instance = Instance()
    assert instance.refusal(instance.approved(mode=Mode.DIGEST)) is Code.REQUEST_INVALID


def test_digest_mode_is_refused_without_a_grant_where_the_scope_names_it():
    instance = Instance()
    scope = instance.sections["scope", "router/production"]
    instance.put(replace(scope, modes=(Mode.UPLOAD, Mode.DIGEST)))
    instance.log_policy()
    assert instance.refusal(instance.approved(mode=Mode.DIGEST)) is Code.REQUEST_INVALID
    assert instance.sign(instance.approved())


def test_upload_is_refused_where_the_scope_does_not_name_it():
    instance = Instance()
    instance.put(replace(instance.sections["scope", "router/production"], modes=(Mode.DIGEST,)))
    instance.log_policy()
    assert instance.refusal(instance.approved()) is Code.REQUEST_INVALID
