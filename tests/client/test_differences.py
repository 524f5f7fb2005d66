"""What an administrator sees of a change: every member that goes or comes, and nothing that stays."""

from dataclasses import replace

from tests.formats.throwaway import signer

from sealwright.client.differences import as_json, between, of_roots
from sealwright.core import records
from sealwright.core.keys import Algorithm
from sealwright.policy import documents as d

SALT, OTHER_SALT = "00" * 16, "11" * 16
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPCvOhQmpcHJUxqkJcHGfSVdI0zYtLNF4v0d8FTF0p7b"
PERSON = d.Person(
    type="person", format=1, salt=SALT, id="ada", authenticators=(d.Authenticator(key=KEY),),
    roles=("approver", "developer"), state=d.State.ACTIVE,
)  # fmt: skip
SCOPE = d.Scope(
    type="scope", format=1, salt=SALT, id="router/production", product="router",
    environment=d.Environment.PRODUCTION, requesters=("developer",),
    quorum=(d.QuorumGroup(roles=("approver",), approvals=2, recomputed=1),), gates=(), modes=(d.Mode.UPLOAD,),
    key_grades=(d.KeyGrade.SOFTWARE,), member_states=("DE", "FR"), support_until=1_924_905_600,
)  # fmt: skip


def changed(old, new):
    (found,) = between([records.serialise(old)], [records.serialise(new)])
    return found


def test_equal_sections_differ_in_nothing():
    both = [records.serialise(PERSON), records.serialise(SCOPE)]
    assert between(both, reversed(both)) == ()


def test_what_goes_has_a_minus_and_what_comes_a_plus():
    new = replace(SCOPE, salt=OTHER_SALT, quorum=(), member_states=("DE", "IT"), support_until=None)
    assert changed(SCOPE, new).lines() == [
        "changed scope router/production",
        "  - quorum: 2 by approver, 1 of them recomputed",
        "  + quorum: no approval needed",
        "  - member states: FR",
        "  + member states: IT",
        "  - support until: 2030-12-31",
    ]


def test_a_demand_on_a_key_that_is_dropped_is_seen():
    strict = replace(PERSON, authenticators=(d.Authenticator(key=KEY, user_verification=True),))
    gone, new = changed(strict, PERSON).gone, changed(strict, PERSON).new
    assert [value.endswith("with user verification") for _, value in (*gone, *new)] == [True, False]


def test_another_order_is_shown_as_a_whole():
    found = changed(PERSON, replace(PERSON, roles=("developer", "approver")))
    assert found.gone == (("roles", "approver"), ("roles", "developer"))
    assert found.new == (("roles", "developer"), ("roles", "approver"))


def test_a_new_salt_alone_is_no_change_to_overlook():
    assert "votes that wait under its rules become void" in changed(SCOPE, replace(SCOPE, salt=OTHER_SALT)).lines()[1]


def test_added_and_removed_sections_are_spelled_whole():
    (added,) = between([], [records.serialise(PERSON)])
    (removed,) = between([records.serialise(PERSON)], [])
    assert (added.change, removed.change) == ("added", "removed")
    assert added.new == removed.gone
    assert added.gone == removed.new == ()
    assert {name for name, _ in added.new} == {"authenticators", "roles", "state"}
    assert as_json(added)["gone"] == []


def test_a_root_that_drops_an_administrator_and_its_threshold_is_seen():
    people = tuple(d.Administrator(person=name, authenticators=(d.Authenticator(key=KEY),)) for name in ("ada", "ben"))
    root = d.Root(
        type="root", format=1, salt="00" * 32, version=1, previous="0" * 64, administrators=people, threshold=2,
        logs=(), signers=(), witnesses=(), witness_quorum=0, timestamp_anchors=(), grade=d.Grade.EVALUATION,
        created=0, expires=86_400,
    )  # fmt: skip
    lines = of_roots(root, replace(root, version=2, administrators=people[:1], threshold=1)).lines()
    assert lines[0] == "changed root version 2"
    assert any(line.startswith("  - administrators: ") and "ben: ssh-ed25519" in line for line in lines)
    assert not any("ada:" in line for line in lines)
    assert "  - threshold: 2" in lines
    assert "  + threshold: 1" in lines


def test_a_time_that_no_calendar_has_and_a_certificate_that_is_none_are_shown_as_they_are():
    """Found by fuzzing: an approver must see a hostile proposal, and not the program's bug."""
    late = replace(SCOPE, support_until=1 << 40)
    assert f"  + support until: {1 << 40} seconds, beyond the year 9999" in changed(SCOPE, late).lines()
    made = signer(Algorithm.ECDSA_P256_SHA256)
    version = made.certificate_der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x27")
    assert version != made.certificate_der
    profile = d.KeyProfile(
        type="key-profile", format=1, salt=SALT, id="router/production/boot", product="router",
        environment=d.Environment.PRODUCTION, purpose=d.Purpose.FIRMWARE, partition="router-production",
        algorithm=made.algorithm, public_key=made.public_key.spki_der, signs="digest", image_format="raw",
        certificates=(made.certificate_der,), grade=d.KeyGrade.SOFTWARE, origin="imported", state=d.State.ACTIVE,
    )  # fmt: skip
    shown = changed(profile, replace(profile, certificates=(version,))).lines()
    assert any("+ certificates: unreadable, SHA-256 " in line for line in shown), shown
