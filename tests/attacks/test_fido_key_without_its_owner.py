"""Attack: malware beside a FIDO key signs a vote while nobody touches the key, or without the PIN that is asked for."""

import pytest
from tests.simulators.fido import SecurityKey
from tests.simulators.instance import Instance

from sealwright.core import records, sshsig
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code
from sealwright.policy import documents as d
from sealwright.policy.signatures import Namespace

PRESENT, VERIFIED = 0x01, 0x04


def instance_with(key, *, user_verification):
    instance = Instance(start=False)
    authenticator = d.Authenticator(key=key.line, user_verification=user_verification)
    instance.put(instance.person("cleo", authenticators=(authenticator,)))
    instance.log_policy()
    instance.start_signer()
    return instance


def vote(instance, submission, key, flags):
    made = records.serialise(instance.make_vote(submission, "cleo"))
    digest = document_digest("vote", instance.instance, made)
    signature = key.sign(bytes.fromhex(digest), Namespace.VOTE, flags=flags)
    envelope = Envelope(
        signer="cleo",
        authenticator=sshsig.parse_public_key(key.line).fingerprint,
        kind=SignatureKind.SSHSIG,
        signature=signature,
    )
    return SignedDocument(document=made, signatures=(envelope,))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
@pytest.mark.parametrize(
    ("user_verification", "flags", "counts"),
    [
        (False, PRESENT, True),
        (False, PRESENT | VERIFIED, True),
        (False, 0, False),
        (False, VERIFIED, False),
        (True, PRESENT | VERIFIED, True),
        (True, PRESENT, False),
        (True, 0, False),
    ],
)
def test_a_touch_counts_and_its_absence_does_not(kind, user_verification, flags, counts):
    key = SecurityKey(kind)
    instance = instance_with(key, user_verification=user_verification)
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(vote(instance, submission, key, flags))
    if counts:
        assert instance.sign(submission)
    else:
        assert instance.refusal(submission) is Code.VOTE_INVALID


def test_a_key_for_a_web_site_is_no_key_for_votes():
    key = SecurityKey("ed25519", "ssh:evil.example")
    instance = instance_with(SecurityKey("ed25519"), user_verification=False)
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(vote(instance, submission, key, PRESENT))
    assert instance.refusal(submission) is Code.VOTE_INVALID
