"""Documents with members, types or versions that this code does not know, or in another spelling: all properly signed.

What a verifier does not understand it must not pass over: it may have meant something to whoever signed.
"""

import json

import pytest
from tests.simulators.instance import Instance, SoftPerson, Submission

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code
from sealwright.policy.signatures import Namespace


def compact(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


SPELLINGS = {
    "unknown member": lambda v, _: compact(v | {"urgent": True}),
    "another version": lambda v, _: compact(v | {"format": 2}),
    "version as text": lambda v, _: compact(v | {"format": "1"}),
    "version as truth": lambda v, _: compact(v | {"format": True}),
    "another type": lambda v, _: compact(v | {"type": "grant"}),
    "member missing": lambda v, member: compact({k: m for k, m in v.items() if k != member}),
    "null member": lambda v, member: compact(v | {member: None}),
    "fraction": lambda v, _: compact(v).replace(b'"format":1', b'"format":1.0'),
    "negative": lambda v, _: compact(v).replace(b'"format":1', b'"format":-1'),
    "member twice": lambda v, _: compact(v).replace(b'"format":1', b'"format":1,"format":1'),
    "white space": lambda v, _: compact(v).replace(b",", b", ", 1),
    "other order": lambda v, _: json.dumps(dict(sorted(v.items(), reverse=True)), separators=(",", ":")).encode(),
    "escape": lambda v, _: compact(v).replace(b'"format"', b'"\\u0066ormat"'),
    "byte order mark": lambda v, _: b"\xef\xbb\xbf" + compact(v),
    "line end": lambda v, _: compact(v) + b"\n",
    "right-to-left override": lambda v, member: compact(v | {member: "\N{RIGHT-TO-LEFT OVERRIDE}" + v[member]}),
}


def signed(instance: Instance, kind: str, person: SoftPerson, document: bytes) -> SignedDocument:
    digest = document_digest(kind, instance.instance, document)
    namespace = Namespace.REQUEST if kind == "request" else Namespace.VOTE
    return SignedDocument(document=document, signatures=(person.sign(digest, namespace),))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_request_that_is_not_exactly_one_is_refused(spelling):
    instance = Instance()
    document = SPELLINGS[spelling](records.dump(instance.make_request()), "salt")
    request = signed(instance, "request", instance.people["ada"], document)
    digest = document_digest("request", instance.instance, document)
    submission = Submission(request=request, digest=digest, rules=instance.submit().rules)
    assert instance.refusal(instance.vote(submission, "ben", "cleo")) is Code.INVALID_DOCUMENT


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_vote_that_is_not_exactly_one_is_refused(spelling):
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    document = SPELLINGS[spelling](records.dump(instance.make_vote(submission, "cleo")), "salt")
    submission.votes.append(signed(instance, "vote", instance.people["cleo"], document))
    assert instance.refusal(submission) is Code.INVALID_DOCUMENT


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_intent_that_is_not_exactly_one_is_none(spelling):
    instance = Instance()
    submission = instance.approved()
    value = records.dump(instance.make_intent(submission))
    index = instance.log.append(SPELLINGS[spelling](value, "rules"))
    assert instance.code_of(instance.round(sign=(instance.order(submission, index),))) is Code.INTENT_NOT_LOGGED


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_policy_that_is_not_exactly_one_is_passed_over(spelling):
    instance = Instance()
    document = SPELLINGS[spelling](records.dump(instance.make_policy()), "salt")
    digest = document_digest("policy", instance.instance, document)
    signatures = tuple(admin.sign(digest, Namespace.POLICY) for admin in instance.admins.values())
    instance.log.append(instance.granting("policy", SignedDocument(document=document, signatures=signatures)))
    assert not instance.catch_up().needs_policy
    assert instance.sign(instance.approved())


def test_the_same_steps_with_a_plain_document_are_accepted():
    instance = Instance()
    document = compact(records.dump(instance.make_request()))
    request = signed(instance, "request", instance.people["ada"], document)
    digest = document_digest("request", instance.instance, document)
    submission = instance.vote(Submission(request=request, digest=digest, rules=instance.submit().rules), "ben")
    vote = compact(records.dump(instance.make_vote(submission, "cleo")))
    submission.votes.append(signed(instance, "vote", instance.people["cleo"], vote))
    assert instance.sign(submission)
