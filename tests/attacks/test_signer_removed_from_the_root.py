"""The administrators removed a signer, perhaps because it was stolen; it goes on with what it has."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy.documents import SignerIdentity


def another_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()


def gone(_: Instance) -> SignerIdentity:
    return SignerIdentity(id="signer-2", key=another_key(), valid_from=0)


def with_another_key(_: Instance) -> SignerIdentity:
    return SignerIdentity(id="signer-1", key=another_key(), valid_from=0)


def ended(instance: Instance) -> SignerIdentity:
    key = instance.identity.public_key().public_bytes_raw()
    return SignerIdentity(id="signer-1", key=key, valid_from=0, valid_until=len(instance.log.entries))


def not_yet(instance: Instance) -> SignerIdentity:
    key = instance.identity.public_key().public_bytes_raw()
    return SignerIdentity(id="signer-1", key=key, valid_from=1 << 40)


WAYS = [gone, with_another_key, ended, not_yet]


def change_the_root(instance: Instance, change) -> None:
    instance.log_root(instance.next_root(signers=(change(instance),)))
    instance.log_policy()


@pytest.mark.parametrize("change", WAYS)
def test_a_removed_signer_signs_nothing(change):
    instance = Instance()
    submission = instance.approved()
    change_the_root(instance, change)
    assert instance.refusal(submission) is Code.SESSION_ENDED


@pytest.mark.parametrize("change", WAYS)
def test_a_signer_removed_between_signing_and_outcome_releases_nothing(change):
    instance = Instance()
    index, result = instance.ask(instance.approved())
    change_the_root(instance, change)
    instance.log_outcome(index, instance.outcome_of(result))
    assert instance.release_refusal(index) is Code.SESSION_ENDED


@pytest.mark.parametrize("change", WAYS)
def test_a_removed_signer_cannot_begin_a_session(change):
    instance = Instance()
    submission = instance.approved()
    change_the_root(instance, change)
    instance.engine = instance.new_engine()
    result = instance.catch_up()
    assert result.refusal is None
    assert result.announcement is None  # the fold would pass it over, and the server log it again and again
    instance.session = result.session
    assert instance.refusal(submission) is Code.SESSION_ENDED


def test_a_root_logged_between_signing_and_release_keeps_the_signatures_in():
    # Evidence would rest on a root that was replaced when the outcome was logged.
    instance = Instance()
    submission = instance.approved()
    index = instance.signed_and_logged(submission)
    instance.log_root(instance.next_root())
    instance.log_policy()
    assert instance.release_refusal(index) is Code.RELEASE_TOO_LATE
    assert instance.sign(submission)


def test_a_signer_that_ends_later_goes_on_until_then():
    instance = Instance()
    key = instance.identity.public_key().public_bytes_raw()
    until = len(instance.log.entries) + 4  # root, policy, then one intent and its outcome
    instance.log_root(
        instance.next_root(signers=(SignerIdentity(id="signer-1", key=key, valid_from=0, valid_until=until),))
    )
    instance.log_policy()
    assert instance.sign(instance.approved())
    assert instance.refusal(instance.approved()) is Code.SESSION_ENDED
