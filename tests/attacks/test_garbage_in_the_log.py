"""The owner of the log writes rubbish into it to stop the signers; what is right counts all the same."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.policy import documents as d

RUBBISH = [
    b"",
    b"\x00" * 65_535,
    b"not json",
    b"[" * 60_000,
    b'{"entry":"root"}',
    b'{"entry":"policy","format":1,"signed":{}}',
    b'{"entry":["root"],"format":1}',
    b'{"entry":"intent","format":1,"request":1}',
    b'{"entry":"outcome","format":1,"document":"%s","intent_index":99999999999999999999}' % (b"0" * 64),
    b'{"entry":"restriction","format":1}',
    b'{"entry":"unheard-of","format":1}',
    b'{"entry":"root","entry":"policy","format":1}',
    b'"\\ud800"',
    b"9" * 5000,
    "{\N{LINE SEPARATOR}}".encode(),
]


def still_signs_after_a_new_policy(instance: Instance) -> bool:
    """The policy after the rubbish is followed: its new person's vote counts."""
    instance.people["eve"] = SoftPerson("eve")
    instance.put(instance.person("eve"))
    instance.log_policy()
    submission = instance.vote(instance.submit(), "ben", "eve")
    return bool(instance.sign(submission))


@pytest.mark.parametrize("entry", RUBBISH, ids=lambda entry: repr(entry[:24]))
def test_rubbish_is_passed_over(entry):
    instance = Instance()
    instance.log.append(entry)
    assert still_signs_after_a_new_policy(instance)


@pytest.mark.parametrize("kind", ["root", "policy", "session"])
@pytest.mark.parametrize("document", [b"{}", b"[]", b"rubbish", b'{"type":"root"}', b'{"format":1,"type":"policy"}'])
def test_a_granting_entry_around_rubbish_is_passed_over(kind, document):
    instance = Instance()
    genuine = instance.signed_policy(instance.make_policy())
    instance.log.append(instance.granting(kind, replace(genuine, document=document)))
    instance.log.append(instance.granting(kind, SignedDocument(document=document, signatures=())))
    assert still_signs_after_a_new_policy(instance)


def test_a_root_signed_by_strangers_is_passed_over():
    instance = Instance()
    strangers = [SoftPerson("root-a"), SoftPerson("root-b")]
    instance.log.append(instance.granting("root", instance.signed_root(instance.next_root(), strangers)))
    assert still_signs_after_a_new_policy(instance)


BROKEN_KEYS = {
    "log with rubbish for a key": {"logs": "log.example/acme+00000000+" + "A" * 44},
    "witness with rubbish for a key": {"witnesses": "witness.example+00000000+" + "A" * 44},
    "witness with a plain note key": {"witnesses": None},
}


@pytest.mark.parametrize("what", BROKEN_KEYS)
def test_a_root_whose_keys_no_signer_could_use_is_passed_over(what):
    # All administrators signed it by mistake.  In force it would stop every signer, and the next root with them.
    instance = Instance()
    ((member, key),) = BROKEN_KEYS[what].items()
    key = key or instance.log.vkey
    logs = (d.LogIdentity(origin=instance.log.origin, key=key, first_size=0),)
    witnesses = (d.Witness(name="witness.example", key=key),)
    root = instance.next_root(**{member: logs if member == "logs" else witnesses})
    instance.log.append(instance.granting("root", instance.signed_root(root)))
    assert still_signs_after_a_new_policy(instance)


def test_a_root_that_forgets_this_log_is_passed_over():
    instance = Instance()
    elsewhere = (d.LogIdentity(origin="log.example/other", key=instance.log.vkey, first_size=0),)
    root = instance.next_root(logs=elsewhere)
    instance.log.append(instance.granting("root", instance.signed_root(root)))
    assert still_signs_after_a_new_policy(instance)


def test_a_good_policy_spoilt_by_a_further_signature_counts_once_it_is_logged_clean():
    instance = Instance()
    instance.people["eve"] = SoftPerson("eve")
    instance.put(instance.person("eve"))
    clean = instance.signed_policy(instance.make_policy())
    spoilt = replace(clean, signatures=(*clean.signatures, replace(clean.signatures[0], signer="nobody")))
    instance.log.append(instance.granting("policy", spoilt))
    assert not instance.catch_up().needs_policy
    instance.log.append(instance.granting("policy", clean))
    assert instance.sign(instance.vote(instance.submit(), "ben", "eve"))


def test_a_forged_restriction_only_refuses_service():
    instance = Instance()
    entry = {"entry": "restriction", "format": 1, "kind": "revoke-person", "subject": "dan", "person": "nobody",
             "document": "0" * 64}  # fmt: skip
    instance.log.append(records.serialise(entry))
    assert instance.sign(instance.approved())
