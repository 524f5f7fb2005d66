"""The same people use the same keys in two installations; a vote is carried over."""

from tests.simulators.instance import Instance

from sealwright.core.errors import Code


def two_installations_with_the_same_people() -> tuple[Instance, Instance]:
    ours, theirs = Instance(), Instance(start=False)
    theirs.people, theirs.salts = ours.people, ours.salts
    for name in ours.people:
        theirs.put(theirs.person(name))
    theirs.log_policy()
    theirs.start_signer()
    return ours, theirs


def test_a_vote_cast_in_another_installation_is_refused():
    ours, theirs = two_installations_with_the_same_people()
    submission = ours.vote(ours.submit(), "ben")
    # The very same words, naming our request, but signed for the other installation.
    submission.votes.append(theirs.signed_vote(ours.make_vote(submission, "cleo")))
    assert ours.refusal(submission) is Code.VOTE_INVALID


def test_a_request_made_in_another_installation_is_refused():
    ours, theirs = two_installations_with_the_same_people()
    request = ours.make_request()
    assert theirs.sign(theirs.vote(theirs.submit(request), "ben", "cleo"))
    submission = ours.submit(request)
    submission.request = theirs.submit(request).request
    assert ours.refusal(ours.vote(submission, "ben", "cleo")) is Code.REQUEST_SIGNATURE


def test_a_request_for_another_log_is_refused():
    instance = Instance()
    assert instance.refusal(instance.approved(log="log.example/other")) is Code.WRONG_LOG
