"""Ben has two authenticators and votes with both."""

from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.errors import Code


def ben_with_two_keys() -> tuple[Instance, SoftPerson]:
    instance, second = Instance(), SoftPerson("ben")
    keys = (instance.people["ben"].authenticator, second.authenticator)
    instance.put(instance.person("ben", authenticators=keys))
    instance.log_policy()
    return instance, second


def test_two_votes_of_one_person_are_one():
    instance, second = ben_with_two_keys()
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "ben"), by=second))
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET


def test_the_same_vote_given_twice_is_one():
    instance = Instance()
    assert instance.refusal(instance.vote(instance.submit(), "ben", "ben")) is Code.QUORUM_NOT_MET
    submission = instance.vote(instance.submit(), "ben")
    submission.votes *= 2
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET


def test_either_key_counts_once_beside_another_person():
    instance, second = ben_with_two_keys()
    submission = instance.vote(instance.submit(), "cleo")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "ben"), by=second))
    assert instance.sign(submission)
