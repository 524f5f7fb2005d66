"""A server that lies: what it shows, answers or claims is found out before anybody signs or believes it.

The real server answers; the lie is put into its answer on the way, as its owner could.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sealwright.client.api import Api
from sealwright.client.compose import new_request, prepare_artifact, sign_document
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import Dossier
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.policy.sections import parse_section
from sealwright.service.impact import Impact
from sealwright.service.messages import (
    CheckpointAnswer,
    EntriesAnswer,
    PolicyAnswer,
    ProofAnswer,
    RequestAnswer,
    Result,
    SubmitBody,
)
from sealwright.service.restrictions import Logged

DIFFERENT, REFUSED = 1, 77


@pytest.fixture
def lie(monkeypatch):
    """Change every answer of one kind on its way to the client."""

    def begin(kind: type[Any], change: Callable[[Any], Any]) -> None:
        for name in ("get", "post"):
            honest = getattr(Api, name)

            def answer(self: Api, wanted: type[Any], *arguments: Any, honest: Any = honest, **query: Any) -> Any:
                said = honest(self, wanted, *arguments, **query)
                return change(said) if wanted is kind else said

            monkeypatch.setattr(Api, name, answer)

    return begin


def changed(answer: RequestAnswer, **members: Any) -> RequestAnswer:
    """The request with other members, under the signature of the true one, its digest and id adjusted."""
    request = replace(records.parse(d.Request, answer.request.document), **members)
    return replace(answer, request=replace(answer.request, document=records.serialise(request)))


def digest_of(answer: RequestAnswer, instance: str) -> str:
    return document_digest("request", instance, answer.request.document)


LOOKING = ("show {}", "check {} {image}", "approve {} --yes", "approve {} {image} --yes", "reject {} --reason x --yes")


@pytest.mark.parametrize("command", LOOKING)
def test_a_request_shown_otherwise_than_signed_is_refused(terminal, live, image, lie, command):
    request = terminal.sign(image)

    def other_release(answer: RequestAnswer) -> RequestAnswer:
        shown = changed(answer, release="0.9-harmless")
        return replace(shown, status=replace(shown.status, digest=digest_of(shown, live.trust.instance)))

    lie(RequestAnswer, other_release)
    said = terminal.run("ben", "request", *command.format(request, image=image).split())
    assert said.code == DIFFERENT
    assert "the server shows a request that its requester did not sign so" in said.err
    assert "do not vote" in said.err
    assert said.out == ""


def test_another_requests_signature_and_votes_do_not_pass_for_the_one_asked_for(terminal, live, image, lie):
    request, other = terminal.sign(image), terminal.sign(image, release="6.6.6")
    with live.api("ben") as api:
        shown = api.get(RequestAnswer, f"/v1/requests/{other}")
    lie(RequestAnswer, lambda _: shown)
    for command in LOOKING:
        said = terminal.run("ben", "request", *command.format(request, image=image).split())
        assert said.code == DIFFERENT
        assert "the server shows another request than was asked for" in said.err


def test_a_requester_exchanged_for_somebody_outside_the_policy_is_shown_as_unverified_and_gets_no_vote(
    terminal, live, image, lie
):
    request = terminal.sign(image)

    def exchanged(answer: RequestAnswer) -> RequestAnswer:
        shown = changed(answer, requester="zoe")
        return replace(shown, status=replace(shown.status, digest=digest_of(shown, live.trust.instance)))

    lie(RequestAnswer, exchanged)
    said = terminal.good("ben", "request", "show", request)
    assert "signature NOT verified" in said.out
    assert "could not be verified" in said.err
    assert terminal.good("ben", "request", "show", request, "--json").json["requester_verified"] is False
    for command in LOOKING[1:]:
        said = terminal.run("ben", "request", *command.format(request, image=image).split())
        assert said.code == REFUSED
        assert "zoe is not in the policy" in said.err


def test_evil_slots_under_a_clean_image_are_found_by_check(terminal, live, image):
    evil = b"evil firmware " + os.urandom(8)
    with live.api("ada") as api:
        standing = needed(fetch(api, live.trust))
        profile = standing.sections.get(d.KeyProfile, "router/production/1")
        now = standing.policy.created
        clean, bad = (
            prepare_artifact(MemorySource(data), "fw.bin", FORMATS["raw"], [profile], {"signing_time": now})
            for data in (image.read_bytes(), evil)
        )
        mixed = replace(clean, slots=bad.slots)
        request = new_request(
            [mixed], log=live.trust.log, requester="ada", product="router", release="1", now=now,
            environment=d.Environment.PRODUCTION, lifetime_seconds=86_400, entropy=os.urandom,
        )  # fmt: skip
        signed = sign_document(request, instance=live.trust.instance, identity=live.identities["ada"], signer="ada")
        api.upload(MemorySource(image.read_bytes()), clean.artifact.sha256)
        api.post(Result, "/v1/requests", SubmitBody(request=signed))
    assert "signature verified" in terminal.good("ben", "request", "show", request.id).out
    for command in (("check", request.id, image), ("check", image), ("approve", request.id, image, "--yes")):
        said = terminal.run("ben", "request", *command)
        assert said.code == DIFFERENT
        assert "digest of slot signature of artifact fw.bin" in said.err
        assert clean.slots[0].digest in said.err
        assert bad.slots[0].digest in said.err
    assert terminal.good("ben", "request", "show", request.id, "--json").json["votes"] == []


def test_a_vote_that_was_changed_counts_for_nothing_here(terminal, image, lie):
    request = terminal.sign(image)
    terminal.good("ben", "request", "approve", request)

    def recomputed(answer: RequestAnswer) -> RequestAnswer:
        (vote,) = answer.votes
        better = replace(records.parse(d.Vote, vote.document), checked=d.Checked.RECOMPUTED)
        return replace(answer, votes=(replace(vote, document=records.serialise(better)),))

    lie(RequestAnswer, recomputed)
    said = terminal.good("cleo", "request", "show", request)
    assert "vote of ben: approve, recomputed" in said.out
    assert "does not count: vote of ben:" in said.out
    assert "0 of 2 approvals" in said.out


def test_a_policy_with_a_lower_quorum_or_without_a_section_is_refused(terminal, image, lie):
    request = terminal.sign(image)

    def lowered(answer: PolicyAnswer) -> PolicyAnswer:
        sections = []
        for data in answer.sections:
            section = parse_section(data)
            if isinstance(section, d.Scope) and section.id == "router/production":
                section = replace(section, quorum=(replace(section.quorum[0], approvals=1),))
            sections.append(records.serialise(section))
        return replace(answer, sections=tuple(sections))

    lie(PolicyAnswer, lowered)
    for command in (
        ("request", "approve", request), ("request", "show", request), ("request", "check", request, image),
        ("sign", image, "--product", "router", "--release", "1"),
    ):  # fmt: skip
        said = terminal.run("ben", *command)
        assert said.code == REFUSED
        assert "the sections given are not those of policy version" in said.err
    lie(PolicyAnswer, lambda answer: replace(answer, sections=answer.sections[1:]))
    assert terminal.run("ben", "request", "approve", request).code == REFUSED


def test_a_policy_older_than_the_trust_file_knows_is_refused(terminal, live, image, tmp_path):
    request = terminal.sign(image)
    newer = replace(live.trust, as_of=replace(live.trust.as_of, policy_version=99))
    terminal.trust = tmp_path / "trust.json"
    terminal.trust.write_bytes(records.serialise(newer))
    for command in (("approve", request), ("show", request), ("check", request, image)):
        said = terminal.run("ben", "request", *command)
        assert said.code == REFUSED
        assert "the trust file knows 99" in said.err
    said = terminal.run("ben", "log", "verify")
    assert said.code == DIFFERENT
    assert "policy version in the first" in said.err


def test_another_root_than_the_trust_file_knows_is_refused(terminal, image, lie):
    request = terminal.sign(image)

    def other(answer: PolicyAnswer) -> PolicyAnswer:
        root = replace(records.parse(d.Root, answer.roots[0].document), salt="0" * 64)
        return replace(answer, roots=(replace(answer.roots[0], document=records.serialise(root)),))

    lie(PolicyAnswer, other)
    said = terminal.run("ben", "request", "approve", request)
    assert said.code == REFUSED
    assert "signed by 0 of 1 administrators of root version 1" in said.err


def test_the_dossier_of_another_request_and_forged_signatures_write_nothing(terminal, live, image, lie, tmp_path):
    request, other = terminal.sign(image), terminal.sign(image, release="6.6.6")
    for name in (request, other):
        for person in ("ben", "cleo"):
            terminal.good(person, "request", "approve", name, image, "--yes")
    command = ("request", "fetch", request, image, "--wait", "20", "-o", tmp_path / "out.bin")
    terminal.good("ada", "request", "fetch", other, image, "--wait", "20", "-o", tmp_path / "other.bin")
    with live.api("ada") as api:
        wrong = api.get(Dossier, f"/v1/requests/{other}/dossier")
    before = sorted(tmp_path.iterdir())
    honest = Api.get

    def lies(change: Callable[[Dossier], Dossier]) -> None:
        terminal.patch.setattr(Api, "get", honest)
        lie(Dossier, change)

    lies(lambda _: wrong)
    said = terminal.run("ada", *command)
    assert said.code == DIFFERENT
    assert "the server sent the dossier of another request" in said.err
    for change in (
        lambda a: replace(a, signatures=wrong.signatures),
        lambda a: replace(a, votes=a.votes[:1]),
        lambda a: replace(a, votes=wrong.votes),
        lambda a: replace(a, outcome=wrong.outcome),
        lambda a: replace(a, intent=wrong.intent),
        lambda a: replace(a, outcome_proof=wrong.outcome_proof[:-1]),
        lambda a: replace(a, checkpoint=a.checkpoint.replace(b"\xe2\x80\x94 log", b"\xe2\x80\x94 gol")),
        lambda a: replace(a, sections=a.sections[1:]),
    ):
        lies(change)
        said = terminal.run("ada", *command)
        assert said.code in (REFUSED, DIFFERENT), said
        assert sorted(tmp_path.iterdir()) == before
    lies(lambda a: a)
    terminal.good("ada", *command)


def test_a_veto_or_cancellation_is_not_called_done_without_its_proof(terminal, image, lie):
    lies = (
        lambda a: replace(a, index=a.index - 1),
        lambda a: replace(a, proof=a.proof[:-1]),
        lambda a: replace(a, checkpoint=a.checkpoint.replace(b"\n\n", b"\nx\n\n")),
        lambda a: replace(a, entry=a.entry.replace(b'"person":"', b'"person":"x-')),
    )
    honest = Api.post
    for change in lies:
        for person, command in (("ben", ("reject", "--reason", "x", "--yes")), ("ada", ("cancel", "--reason", "x"))):
            terminal.patch.setattr(Api, "post", honest)
            request = terminal.sign(image)
            lie(Logged, change)
            said = terminal.run(person, "request", command[0], request, *command[1:])
            assert said.code != 0, said
            assert "done" not in said.out


def test_another_veto_than_mine_is_not_called_mine(terminal, image, lie):
    first, second = terminal.sign(image), terminal.sign(image)
    kept: list[Logged] = []
    lie(Logged, lambda answer: kept.append(answer) or kept[0])
    terminal.good("ben", "request", "reject", first, "--reason", "x")
    said = terminal.run("ben", "request", "reject", second, "--reason", "x")
    assert said.code == DIFFERENT
    assert "the server logged something else" in said.err


@pytest.mark.parametrize("command", ["head", "verify", "show 0", "proof 0"])
def test_a_checkpoint_that_the_log_did_not_sign_so_is_refused(terminal, lie, command):
    empty = b"log.example/acme\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"
    lie(CheckpointAnswer, lambda a: replace(a, checkpoint=empty + a.checkpoint.split(b"\n\n")[1]))
    said = terminal.run("dan", "log", *command.split())
    assert said.code == DIFFERENT
    assert "does not verify" in said.err


def test_another_history_than_the_trust_file_knows_is_refused(terminal, lie):
    lie(ProofAnswer, lambda a: replace(a, proof=tuple(bytes(32) for _ in a.proof)))
    for command in ("head", "verify", "show 0", "proof 2"):
        assert terminal.run("dan", "log", *command.split()).code == DIFFERENT


@pytest.mark.parametrize(
    "change",
    [
        lambda a: replace(a, entries=(*a.entries[:-1], b'{"entry":"none","format":1}')),
        lambda a: replace(a, entries=a.entries[:-1]),
        lambda a: replace(a, entries=(*a.entries[1:], a.entries[0])),
        lambda a: replace(a, start=a.start + 1),
    ],
    ids=["changed", "left-out", "reordered", "elsewhere"],
)
def test_log_verify_finds_changed_entries(terminal, lie, change):
    lie(EntriesAnswer, change)
    said = terminal.run("dan", "log", "verify")
    assert said.code == DIFFERENT
    assert "entries" in said.err


def test_log_show_refuses_an_entry_that_is_not_in_the_log(terminal, lie):
    lie(EntriesAnswer, lambda a: replace(a, entries=(b'{"entry":"none","format":1}',)))
    for command in ("show 1", "proof 1"):
        said = terminal.run("dan", "log", *command.split())
        assert said.code == DIFFERENT
        assert "entry 1 is not in the log" in said.err


def test_impact_of_another_key_or_another_log_is_refused(terminal, lie):
    honest = Api.get
    for change in (
        lambda a: replace(a, key="router/production/2"),
        lambda a: replace(a, log_root="0" * 64),
        lambda a: replace(a, log_size=a.log_size + 1),
    ):
        terminal.patch.setattr(Api, "get", honest)
        lie(Impact, change)
        assert terminal.run("dan", "impact", "--key", "router/test/1").code == DIFFERENT


def test_a_state_that_does_not_exist_and_signed_too_early_lead_nowhere(terminal, image, lie):
    request = terminal.sign(image)
    honest = Api.get
    lie(Result, lambda a: replace(a, status=replace(a.status, state="blessed")))
    assert terminal.run("ada", "request", "fetch", request, image).code == 65
    terminal.patch.setattr(Api, "get", honest)
    lie(Result, lambda a: replace(a, status=replace(a.status, state="signed")))
    said = terminal.run("ada", "request", "fetch", request, image)
    assert said.code == REFUSED
    assert "is not signed" in said.err
    assert [p.name for p in image.parent.iterdir()] == ["fw.bin"]
