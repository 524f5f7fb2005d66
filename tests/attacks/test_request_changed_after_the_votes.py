"""The request is edited after people voted on it, by the server or by its requester."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code
from sealwright.policy.documents import Request

EVIL = b"evil firmware"


def changes(instance: Instance) -> dict[str, dict[str, object]]:
    profile = "router/production/1"
    return {
        "image": {"artifacts": (instance.artifact(EVIL),), "slots": (instance.slot(EVIL, key_profile=profile),)},
        "slot digest": {"slots": (instance.slot(EVIL, key_profile=profile),)},
        "release": {"release": "6.6.6"},
        "expiry": {"expires": instance.clock.now() + 2 * 86_400},
    }


WHAT = ["image", "slot digest", "release", "expiry"]


@pytest.mark.parametrize("what", WHAT)
def test_an_edit_by_the_server_breaks_the_requesters_signature(what):
    instance = Instance()
    submission = instance.approved()
    request = replace(records.parse(Request, submission.request.document), **changes(instance)[what])
    document = records.serialise(request)
    submission.request = replace(submission.request, document=document)
    submission.digest = document_digest("request", instance.instance, document)
    assert instance.refusal(submission) is Code.REQUEST_SIGNATURE


@pytest.mark.parametrize("what", WHAT)
def test_an_edit_by_the_requester_loses_the_votes(what):
    instance = Instance()
    genuine = instance.approved()
    request = replace(records.parse(Request, genuine.request.document), **changes(instance)[what])
    edited = instance.submit(request)
    edited.votes = genuine.votes
    assert instance.refusal(edited) is Code.VOTE_INVALID
    edited.votes = []
    assert instance.sign(instance.vote(edited, "ben", "cleo"))


def test_the_order_may_not_bring_another_document_than_the_intent_names():
    instance = Instance()
    genuine = instance.approved()
    other = instance.approved(release="6.6.6")
    index = instance.log.append(instance.make_intent(genuine, votes=instance.make_intent(other).votes))
    assert instance.code_of(instance.round(sign=(instance.order(other, index),))) is Code.INTENT_MISMATCH
