"""``authorise`` and ``evaluate`` as functions: the rules that need no signer to be seen."""

from dataclasses import replace

import pytest
from tests.simulators.fido import PRESENT, VERIFIED, SecurityKey
from tests.simulators.instance import DAY, START, Instance, Submission, salt

from sealwright.core import records, sshsig
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.policy import documents as d
from sealwright.policy.authorise import Approved, Documents, Standing, authorise, evaluate
from sealwright.policy.sections import Sections
from sealwright.policy.signatures import Namespace


def decide(
    instance: Instance, submission: Submission, *, now: int = START, standing: Standing | None = None
) -> Approved:
    documents = Documents(request=submission.request, votes=tuple(submission.votes))
    return evaluate(documents, standing or instance.standing(), now=now)


def code_of(instance: Instance, submission: Submission, **how) -> Code:
    with pytest.raises(RefusedError) as error:
        decide(instance, submission, **how)
    return error.value.code


@pytest.fixture
def instance() -> Instance:
    return Instance()


def test_what_was_approved_is_told(instance):
    submission = instance.approved()
    approved = decide(instance, submission)
    assert approved.request_digest == submission.digest
    assert approved.rules_digest == submission.rules
    assert [b.person.id for b in approved.ballots] == ["ben", "cleo"]
    assert [p.id for p in approved.profiles] == ["router/production/1"]
    assert approved.scope.id == "router/production"


def test_the_decision_depends_on_nothing_but_its_arguments(instance):
    submission = instance.approved()
    standing = instance.standing()
    assert decide(instance, submission, standing=standing) == decide(instance, submission, standing=standing)


def test_an_intent_holds_exactly_these_digests(instance):
    submission = instance.approved()
    documents = Documents(request=submission.request, votes=tuple(submission.votes))
    intent, standing = instance.make_intent(submission), instance.standing()
    assert authorise(documents, intent, standing, now=START)
    for changes, code in (
        ({"request": "0" * 64}, Code.INTENT_MISMATCH),
        ({"rules": "0" * 64}, Code.RULES_CHANGED),
        ({"votes": ()}, Code.INTENT_MISMATCH),
        ({"votes": intent.votes * 2}, Code.INTENT_MISMATCH),
        ({"reports": intent.votes}, Code.INTENT_MISMATCH),
    ):
        with pytest.raises(RefusedError) as error:
            authorise(documents, replace(intent, **changes), standing, now=START)
        assert error.value.code is code


# Lifetimes


@pytest.mark.parametrize(("now", "code"), [(START + DAY - 1, None), (START + DAY, Code.REQUEST_EXPIRED)])
def test_a_request_ends_at_its_last_second(instance, now, code):
    submission = instance.approved()
    assert decide(instance, submission, now=now) if code is None else code_of(instance, submission, now=now) is code


@pytest.mark.parametrize(("now", "code"), [(START - 600, None), (START - 601, Code.REQUEST_NOT_YET_VALID)])
def test_a_request_begins_at_its_first_second_but_for_a_slow_clock(instance, now, code):
    submission = instance.approved()
    assert decide(instance, submission, now=now) if code is None else code_of(instance, submission, now=now) is code


@pytest.mark.parametrize(
    ("what", "code"), [("root", Code.ROOT_EXPIRED), ("policy", Code.POLICY_EXPIRED)]
)  # fmt: skip
def test_root_and_policy_end_at_their_last_second(instance, what, code):
    submission, standing = instance.approved(), instance.standing()
    ending = replace(standing, **{what: replace(getattr(standing, what), expires=START + 10)})
    assert decide(instance, submission, standing=ending, now=START + 9)
    assert code_of(instance, submission, standing=ending, now=START + 10) is code


@pytest.mark.parametrize(("what", "code"), [("root", Code.ROOT_INVALID), ("policy", Code.POLICY_INVALID)])
def test_root_and_policy_begin_when_they_were_made(instance, what, code):
    submission, standing = instance.approved(), instance.standing()
    beginning = replace(standing, **{what: replace(getattr(standing, what), created=START + 601)})
    assert code_of(instance, submission, standing=beginning) is code
    assert decide(instance, submission, standing=beginning, now=START + 1)


# Votes


@pytest.mark.parametrize(("time", "accepted"), [(-601, False), (-600, True), (600, True), (601, False)])
def test_a_vote_lies_within_the_requests_life_but_for_other_clocks(instance, time, accepted):
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "cleo", time=START + time)))
    assert decide(instance, submission) if accepted else code_of(instance, submission) is Code.VOTE_INVALID


def test_a_vote_for_other_rules_is_told_apart_from_a_bad_one(instance):
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "cleo", rules="0" * 64)))
    assert code_of(instance, submission) is Code.RULES_CHANGED


def vote_with_security_key(instance: Instance, *, demand_verification: bool, application: str, flags: int):
    """Cleo votes with a FIDO key that her section lists."""
    key = SecurityKey(application=application)
    authenticator = d.Authenticator(key=key.line, user_verification=demand_verification)
    instance.put(instance.person("cleo", authenticators=(authenticator,)))
    instance.log_policy()
    submission = instance.vote(instance.submit(), "ben")
    data = records.serialise(instance.make_vote(submission, "cleo"))
    digest = document_digest("vote", instance.instance, data)
    envelope = Envelope(
        signer="cleo",
        authenticator=sshsig.parse_public_key(key.line).fingerprint,
        kind=SignatureKind.SSHSIG,
        signature=key.sign(bytes.fromhex(digest), Namespace.VOTE, flags=flags),
    )
    submission.votes.append(SignedDocument(document=data, signatures=(envelope,)))
    return submission


@pytest.mark.parametrize(
    ("demand", "application", "flags", "accepted"),
    [
        (False, "ssh:", PRESENT, True),
        (False, "ssh:", 0, False),
        (True, "ssh:", PRESENT, False),
        (True, "ssh:", PRESENT | VERIFIED, True),
        (False, "ssh:mail", PRESENT | VERIFIED, False),
    ],
)
def test_a_security_key_must_show_what_its_section_demands(instance, demand, application, flags, accepted):
    submission = vote_with_security_key(instance, demand_verification=demand, application=application, flags=flags)
    assert decide(instance, submission) if accepted else code_of(instance, submission) is Code.VOTE_INVALID


# Production has two people, whatever the sections say


def test_production_without_any_rule_is_refused_even_if_a_policy_says_so(instance):
    standing = instance.standing()
    scope = replace(instance.sections["scope", "router/production"], quorum=())
    found = dict(standing.sections._by_key)
    found["scope", "router/production"] = (scope, found["scope", "router/production"][1])
    lenient = replace(standing, sections=Sections(found))
    submission = instance.submit()
    assert code_of(instance, submission, standing=lenient) is Code.QUORUM_NOT_MET
    assert decide(instance, instance.vote(submission, "ben"), standing=lenient)


@pytest.mark.parametrize(("controllers", "votes", "accepted"), [
    ((), ("ben",), False),
    ((), ("ben", "cleo"), True),
    (("ada",), ("ben",), True),
    (("ada",), (), False),
])  # fmt: skip
def test_a_pipeline_counts_by_the_people_who_control_it(instance, controllers, votes, accepted):
    groups = (d.QuorumGroup(roles=("approver",), approvals=1, recomputed=0),)
    instance.put(replace(instance.sections["scope", "router/production"], quorum=groups))
    instance.put(instance.pipeline("ci", controllers=controllers))
    instance.log_policy()
    request = instance.make_request(requester="ci", requester_kind="pipeline")
    submission = instance.vote(instance.submit(request), *votes)
    assert decide(instance, submission) if accepted else code_of(instance, submission) is Code.QUORUM_NOT_MET


def test_a_pipeline_is_not_a_person_of_the_same_name(instance):
    instance.put(instance.pipeline("ci", controllers=("dan",)))
    instance.log_policy()
    request = instance.make_request(requester="ci", requester_kind="person")
    assert code_of(instance, instance.vote(instance.submit(request), "ben", "cleo")) is Code.REQUESTER_NOT_ALLOWED
    request = instance.make_request(requester="ada", requester_kind="pipeline")
    assert code_of(instance, instance.vote(instance.submit(request), "ben", "cleo")) is Code.REQUESTER_NOT_ALLOWED


def test_a_revoked_pipeline_may_not_request(instance):
    pipeline = instance.pipeline("ci", controllers=("dan",))
    instance.put(replace(pipeline, state=d.State.REVOKED))
    instance.log_policy()
    request = instance.make_request(requester="ci", requester_kind="pipeline")
    assert code_of(instance, instance.vote(instance.submit(request), "ben", "cleo")) is Code.REQUESTER_NOT_ALLOWED


# Development


def test_development_may_do_without_votes_but_not_without_a_requester(instance):
    assert decide(instance, instance.submit(instance.make_request(environment="development")))
    instance.put(instance.person("ada", roles=()))
    instance.log_policy()
    submission = instance.submit(instance.make_request(environment="development"))
    assert code_of(instance, submission) is Code.REQUESTER_NOT_ALLOWED


def test_a_vote_that_nobody_needs_is_checked_all_the_same(instance):
    submission = instance.submit(instance.make_request(environment="development"))
    vote = instance.make_vote(submission, "ben", salt=salt())
    submission.votes.append(instance.signed_vote(vote, by=instance.people["cleo"]))
    assert code_of(instance, submission) is Code.VOTE_INVALID


@pytest.mark.parametrize(("grades", "accepted"), [
    (tuple(d.KeyGrade), True),
    ((d.KeyGrade.SOFTWARE,), True),
    ((d.KeyGrade.HARDWARE_CLAIMED,), False),
    ((d.KeyGrade.HARDWARE_ATTESTED, d.KeyGrade.HARDWARE_CLAIMED), False),
])  # fmt: skip
def test_a_scope_names_the_grades_of_keys_it_takes(instance, grades, accepted):
    instance.put(replace(instance.sections["scope", "router/production"], key_grades=grades))
    instance.log_policy()
    submission = instance.approved()
    assert decide(instance, submission) if accepted else code_of(instance, submission) is Code.KEY_PROFILE_MISMATCH
