"""The scope demands a gate; the server brings no report, or one that nothing asked for."""

from dataclasses import replace

from tests.simulators.instance import Instance, salt

from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code
from sealwright.policy import documents as d


def a_report(instance: Instance) -> SignedDocument:
    report = d.Report(
        type="report",
        format=1,
        salt=salt(),
        gate="malware",
        gate_version="1",
        configuration="0" * 64,
        artifact=instance.artifact(b"firmware").sha256,
        snapshots=(),
        verdict="pass",
        findings="0" * 64,
        time=instance.clock.now(),
        greatest_age_seconds=3600,
    )
    return SignedDocument(document=records.serialise(report), signatures=())


def test_a_demanded_gate_without_a_report_is_refused():
    instance = Instance()
    rules = (d.GateRule(gate="malware", greatest_age_seconds=3600),)
    instance.put(replace(instance.sections["scope", "router/production"], gates=rules))
    instance.log_policy()
    submission = instance.approved()
    assert instance.refusal(submission) is Code.GATES_NOT_MET
    index = instance.log.append(instance.make_intent(submission))
    order = replace(instance.order(submission, index), reports=(a_report(instance),))
    assert instance.code_of(instance.round(sign=(order,))) is Code.GATES_NOT_MET


def test_a_report_that_cannot_be_checked_is_refused():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    order = replace(instance.order(submission, index), reports=(a_report(instance),))
    assert instance.code_of(instance.round(sign=(order,))) is Code.GATES_NOT_MET
    assert instance.sign(submission)


def test_a_vote_that_rests_on_a_report_nobody_can_check_is_refused():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "cleo", reports=("0" * 64,))))
    assert instance.refusal(submission) is Code.GATES_NOT_MET
