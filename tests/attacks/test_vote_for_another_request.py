"""The server takes a vote on one request for another."""

from tests.simulators.instance import Instance

from sealwright.core.errors import Code


def test_a_vote_on_another_request_is_refused():
    instance = Instance()
    genuine = instance.approved()
    evil = instance.submit(instance.make_request(b"evil"))
    evil.votes = genuine.votes
    assert instance.refusal(evil) is Code.VOTE_INVALID
    assert instance.sign(genuine)


def test_one_borrowed_vote_is_refused_too():
    instance = Instance()
    genuine = instance.approved()
    evil = instance.vote(instance.submit(instance.make_request(b"evil")), "ben")
    evil.votes.append(genuine.votes[1])
    assert instance.refusal(evil) is Code.VOTE_INVALID


def test_a_second_request_for_the_same_image_needs_votes_of_its_own():
    instance = Instance()
    first = instance.approved()
    second = instance.submit(instance.make_request())
    second.votes = first.votes
    assert instance.refusal(second) is Code.VOTE_INVALID


def test_an_intent_for_one_request_does_not_serve_another():
    instance = Instance()
    genuine, other = instance.approved(), instance.approved(image=b"other")
    index = instance.log.append(instance.make_intent(genuine))
    result = instance.round(sign=(instance.order(other, index),))
    assert result.signed[0].refusal.code is Code.INTENT_MISMATCH
