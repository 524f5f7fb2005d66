"""The server puts another requester's name into a request, so that the real one may vote."""

from dataclasses import replace

from tests.simulators.instance import Instance, SoftPerson

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code
from sealwright.policy.documents import Request


def test_another_requester_in_the_document_breaks_its_signature():
    instance = Instance()
    submission = instance.submit()
    changed = replace(records.parse(Request, submission.request.document), requester="dan")
    document = records.serialise(changed)
    submission.request = replace(submission.request, document=document)
    submission.digest = document_digest("request", instance.instance, document)
    assert instance.refusal(instance.vote(submission, "ada", "ben")) is Code.REQUEST_SIGNATURE


def test_another_signer_beside_the_document_is_refused():
    instance = Instance()
    submission = instance.submit()
    envelope = replace(submission.request.signatures[0], signer="dan")
    submission.request = replace(submission.request, signatures=(envelope,))
    assert instance.refusal(instance.vote(submission, "ben", "cleo")) is Code.REQUEST_SIGNATURE


def test_a_request_that_the_server_signs_in_somebodys_name_is_refused():
    instance = Instance()
    submission = instance.submit(instance.make_request(b"evil"), by=SoftPerson("ada"))
    assert instance.refusal(instance.vote(submission, "ben", "cleo")) is Code.REQUEST_SIGNATURE


def test_a_request_without_a_signature_is_refused():
    instance = Instance()
    submission = instance.approved()
    submission.request = replace(submission.request, signatures=())
    assert instance.refusal(submission) is Code.REQUEST_SIGNATURE


def test_a_request_of_an_unknown_person_is_refused():
    instance = Instance()
    instance.people["eve"] = SoftPerson("eve")
    submission = instance.submit(instance.make_request(requester="eve"))
    assert instance.refusal(instance.vote(submission, "ben", "cleo")) is Code.REQUESTER_NOT_ALLOWED


def test_a_person_without_the_role_may_not_request():
    instance = Instance()
    instance.put(instance.person("dan", roles=("approver",)))
    instance.log_policy()
    submission = instance.submit(instance.make_request(requester="dan"))
    assert instance.refusal(instance.vote(submission, "ben", "cleo")) is Code.REQUESTER_NOT_ALLOWED


def test_the_real_requester_is_accepted():
    instance = Instance()
    submission = instance.submit(instance.make_request(requester="dan"))
    assert instance.sign(instance.vote(submission, "ada", "ben"))
