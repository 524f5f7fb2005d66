"""The server makes a vote that nobody cast."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.envelopes import SignatureKind, SignedDocument
from sealwright.core.errors import Code
from sealwright.policy.signatures import Namespace


def with_forged(instance: Instance, forge) -> Code:
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(forge(instance.make_vote(submission, "cleo")))
    return instance.refusal(submission)


def test_a_vote_signed_with_a_key_of_the_servers_own_is_refused():
    instance = Instance()
    assert with_forged(instance, lambda vote: instance.signed_vote(vote, by=SoftPerson("cleo"))) is Code.VOTE_INVALID


def test_a_vote_signed_with_another_persons_key_is_refused():
    instance = Instance()
    assert (
        with_forged(instance, lambda vote: instance.signed_vote(vote, by=instance.people["dan"])) is Code.VOTE_INVALID
    )


def test_naming_the_persons_key_beside_a_foreign_signature_does_not_help():
    instance = Instance()

    def forge(vote):
        signed = instance.signed_vote(vote, by=SoftPerson("cleo"))
        envelope = replace(signed.signatures[0], authenticator=instance.people["cleo"].key.fingerprint)
        return replace(signed, signatures=(envelope,))

    assert with_forged(instance, forge) is Code.VOTE_INVALID


def test_a_vote_without_a_signature_is_refused():
    instance = Instance()
    assert with_forged(instance, lambda vote: replace(instance.signed_vote(vote), signatures=())) is Code.VOTE_INVALID


def test_a_vote_with_a_second_signature_is_refused():
    instance = Instance()

    def forge(vote):
        signed = instance.signed_vote(vote)
        return replace(signed, signatures=signed.signatures * 2)

    assert with_forged(instance, forge) is Code.VOTE_INVALID


@pytest.mark.parametrize("at", [0, 6, 60, -1])
def test_a_vote_whose_signature_has_a_flipped_bit_is_refused(at):
    instance = Instance()

    def forge(vote):
        signed = instance.signed_vote(vote)
        broken = bytearray(signed.signatures[0].signature)
        broken[at] ^= 1
        return replace(signed, signatures=(replace(signed.signatures[0], signature=bytes(broken)),))

    assert with_forged(instance, forge) is Code.VOTE_INVALID


def test_a_bare_signature_over_the_digest_is_no_vote():
    instance = Instance()

    def forge(vote):
        signed = instance.signed_vote(vote)
        raw = instance.people["cleo"].private_key.sign(bytes.fromhex(instance.vote_digest(signed)))
        envelope = replace(signed.signatures[0], kind=SignatureKind.ED25519, signature=raw)
        return replace(signed, signatures=(envelope,))

    assert with_forged(instance, forge) is Code.VOTE_INVALID


def test_a_vote_in_the_name_of_somebody_unknown_is_refused():
    instance = Instance()
    instance.people["eve"] = SoftPerson("eve")
    submission = instance.vote(instance.submit(), "ben", "eve")
    assert instance.refusal(submission) is Code.VOTE_INVALID


def test_a_signature_carried_from_one_vote_to_another_is_refused():
    instance = Instance()

    def forge(vote):
        genuine = instance.signed_vote(replace(vote, time=vote.time - 1))
        return SignedDocument(document=instance.signed_vote(vote).document, signatures=genuine.signatures)

    assert with_forged(instance, forge) is Code.VOTE_INVALID


def test_a_persons_request_signature_is_no_vote():
    instance = Instance()

    def forge(vote):
        return instance.signed_vote(vote, namespace=Namespace.REQUEST)

    assert with_forged(instance, forge) is Code.VOTE_INVALID


def test_the_vote_that_was_cast_counts():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "cleo")))
    assert instance.sign(submission)
