"""Who asked for a signature also approves it: as a person, or as the controller of the pipeline that asked."""

from tests.simulators.instance import Instance, Submission

from sealwright.core.errors import Code


def test_the_requester_does_not_count_as_approver():
    instance = Instance()
    assert instance.refusal(instance.vote(instance.submit(), "ada", "ben")) is Code.REQUESTER_VOTED


def test_the_requester_cannot_be_a_third_vote_either():
    instance = Instance()
    assert instance.refusal(instance.vote(instance.submit(), "ben", "cleo", "ada")) is Code.REQUESTER_VOTED


def from_pipeline(instance: Instance, controllers: tuple[str, ...]) -> Submission:
    instance.put(instance.pipeline("ci", controllers=controllers))
    instance.log_policy()
    return instance.submit(instance.make_request(requester="ci", requester_kind="pipeline"))


def test_a_controller_does_not_approve_what_the_pipeline_asked_for():
    instance = Instance()
    submission = from_pipeline(instance, controllers=("ben",))
    assert instance.refusal(instance.vote(submission, "ben", "cleo")) is Code.REQUESTER_VOTED


def test_a_pipeline_does_not_vote():
    instance = Instance()
    submission = from_pipeline(instance, controllers=("ada",))
    assert instance.refusal(instance.vote(submission, "ben", "ci")) is Code.REQUESTER_VOTED
    other = instance.submit()
    assert instance.refusal(instance.vote(other, "ben", "ci")) is Code.VOTE_INVALID


def test_people_who_do_not_control_the_pipeline_approve_it():
    instance = Instance()
    submission = from_pipeline(instance, controllers=("ada", "dan"))
    assert instance.sign(instance.vote(submission, "ben", "cleo"))


def test_a_controller_who_is_nobody_makes_the_policy_invalid():
    # A misspelt controller would be free to approve.
    instance = Instance()
    instance.put(instance.pipeline("ci", controllers=("benn",)))
    instance.log_policy()
    assert instance.catch_up().refusal.code is Code.POLICY_INVALID
