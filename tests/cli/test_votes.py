"""Votes as people see them: whose count, what a veto says, and what an approver is shown of their own copy."""

import os
from dataclasses import replace

import pytest
from tests.cli.test_online import approve

from sealwright.core.errors import RefusedError
from sealwright.policy import documents as d
from sealwright.service.messages import Result

REFUSED, USAGE, DIFFERENT = 77, 64, 1
HEX = ":020000040800F2\n:10000000000002200501000801020304050607089C\n:0400000508000105E9\n:00000001FF\n"


def test_who_has_no_role_that_votes_is_refused_and_named_nowhere(terminal, live, image):
    request = terminal.sign(image, release="8.0")
    said = terminal.run("eve", "request", "approve", request, image)
    assert said.code == REFUSED
    assert "eve has no role that votes on router/production, which takes approver" in said.err
    shown = terminal.good("ben", "request", "show", request, "--json").json
    assert shown["votes"] == []
    approve(terminal, request, image)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20")
    verify = ("verify", image, "--trust", live.configuration.trust_file)
    assert {a["person"] for a in terminal.good("ada", *verify, "--json").json["approvals"]} == {"ben", "cleo"}
    assert "eve" not in terminal.good("ada", *verify).out
    assert "eve" not in terminal.good("ada", "impact", "--key", "router/production/1", "--json").out


def test_the_server_refuses_a_vote_without_a_role_by_itself(terminal, live):
    request, _ = live.submit()
    with live.api("eve") as api, pytest.raises(RefusedError, match="eve has no role that votes on router/production"):
        api.post(Result, f"/v1/requests/{request.id}/approve", live.ballot(request, "eve"))
    (found,) = [r for r in terminal.good("ada", "request", "list", "--json").json if r["id"] == request.id]
    assert found["voters"] == []


def test_an_approval_stops_counting_with_its_role(terminal, live, image):
    request = terminal.sign(image, release="8.1")
    terminal.good("ben", "request", "approve", request, image)
    try:
        change_roles(live, "ben", ("developer",))
        shown = terminal.good("ada", "request", "show", request)
        assert "does not count: ben has no role that votes on router/production" in shown.out
        assert "0 of 2 approvals" in shown.out
        (found,) = [r for r in terminal.good("ada", "request", "list", "--json").json if r["id"] == request]
        assert found["voters"] == []
    finally:
        change_roles(live, "ben", ("developer", "approver"))


def change_roles(live, person: str, roles: tuple[str, ...]) -> None:
    live.change_policy(lambda draft: draft.put(replace(draft.get(d.Person, person), roles=roles)))


@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", "  ")])
def test_a_veto_says_why(terminal, image, reason):
    request = terminal.sign(image, release="8.2")
    said = terminal.run("ben", "request", "reject", request, *reason)
    assert said.code == USAGE
    assert "reason" in said.err
    assert terminal.good("ben", "request", "show", request, "--json").json["state"] == "waiting"


def test_the_server_refuses_a_veto_that_does_not_say_why(live):
    request, _ = live.submit()
    silent = live.ballot(request, "ben", d.Decision.REJECT, reason="")
    with live.api("ben") as api, pytest.raises(RefusedError, match="a veto says why"):
        api.post(Result, f"/v1/requests/{request.id}/reject", silent)
    assert live.result(request, wait=0).status.state == "waiting"


def test_a_veto_is_shown_with_its_reason_and_takes_back_ones_approval(terminal, image):
    request = terminal.sign(image, release="8.3")
    terminal.good("ben", "request", "approve", request, image)
    terminal.good("ben", "request", "reject", request, "--reason", "wrong compiler")
    shown = terminal.good("cleo", "request", "show", request)
    assert "because: wrong compiler" in shown.out
    assert "does not count: taken back by their veto" in shown.out
    assert "0 of 2 approvals" in shown.out
    votes = terminal.good("cleo", "request", "show", request, "--json").json["votes"]
    assert [(v["decision"], v["reason"], v["counts"]) for v in votes if v["decision"] == "reject"] == [
        ("reject", "wrong compiler", True)
    ]
    (found,) = [r for r in terminal.good("cleo", "request", "list", "--json").json if r["id"] == request]
    assert found["vetoed_by"] == ["ben"]
    (line,) = [row for row in terminal.good("cleo", "request", "list").out.splitlines() if row.startswith(request)]
    assert "ben (veto)" in line


def test_an_image_is_described_by_the_format_that_it_is_signed_as(terminal, tmp_path):
    application = tmp_path / "app.bin"
    application.write_bytes(os.urandom(512))
    command = ("sign", application, "--product", "sensor", "--release", "1", "--format", "mcuboot", "--new", "--json")
    request = terminal.good("ada", *command, "--option", "version=1.2.3").json["id"]
    (checked,) = terminal.good("ben", "request", "check", request, application, "--json").json["artifacts"]
    assert (
        checked["facts"] == terminal.good("ben", "inspect", application, "--format", "mcuboot", "--json").json["facts"]
    )
    shown = terminal.good("ben", "request", "show", request).out
    assert "option overwrite_only" not in shown or "False" not in shown
    assert "[]" not in shown


def test_approvers_see_what_their_own_copy_is(terminal, live, tmp_path):
    image = tmp_path / "app.hex"
    image.write_text(HEX)
    change_format(live, "intel-hex")
    try:
        request = terminal.sign(image, release="8.4")
        check_facts(terminal, request, image)
    finally:
        change_format(live, "raw")


def change_format(live, image_format: str) -> None:
    key = "router/production/1"
    live.change_policy(lambda draft: draft.put(replace(draft.get(d.KeyProfile, key), image_format=image_format)))


def check_facts(terminal, request, image) -> None:
    checked = terminal.good("ben", "request", "check", request, image)
    facts = terminal.good("ben", "inspect", image, "--json").json["facts"]
    assert facts
    for label, value in facts.items():
        assert label in checked.out
        assert value in checked.out
    assert terminal.good("ben", "request", "check", request, image, "--json").json["artifacts"][0]["facts"] == facts


def test_another_build_under_the_same_name_is_said_to_be_one(terminal, image, tmp_path):
    image = image.rename(tmp_path / "another-build.bin")
    request = terminal.sign(image, release="8.5")
    other = tmp_path / "mine" / image.name
    other.parent.mkdir()
    other.write_bytes(image.read_bytes() + b"!")
    said = terminal.run("ben", "request", "check", other)
    assert said.code == REFUSED
    assert f"{other} is not the {image.name} of {request}" in said.err
    assert "--against" in said.err
    said = terminal.run("ben", "request", "approve", request, other)
    assert said.code == DIFFERENT
    assert "`sealwright inspect YOURS --against THEIRS`" in said.err


@pytest.mark.parametrize("name", ["r-", "r-1", "a", "12"])
def test_a_beginning_that_is_too_short_is_said_to_be(terminal, name):
    said = terminal.run("ben", "request", "show", name)
    assert said.code == REFUSED
    assert f"'{name}' is too short to say which request" in said.err


def test_no_name_at_all_is_a_usage_error(terminal):
    assert terminal.run("ben", "request", "show", "").code == USAGE
