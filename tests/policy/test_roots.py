"""Root documents: what makes one valid, and one the successor of another."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.simulators.instance import DAY, START, Clock, Instance, SoftPerson, SoftWitness

from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.policy import documents as d
from sealwright.policy.roots import check_root, open_first_root, open_next_root

INSTANCE = Instance(start=False)
WITNESS = SoftWitness("witness.example", Clock())
LISTED = d.Witness(name=WITNESS.name, key=str(WITNESS.vkey))
SAME_VKEY = replace(WITNESS.vkey, name="other.example")
SAME_WITNESS = d.Witness(name=SAME_VKEY.name, key=str(SAME_VKEY))


def signer(name: str, key: ed25519.Ed25519PrivateKey) -> d.SignerIdentity:
    return d.SignerIdentity(id=name, key=key.public_key().public_bytes_raw(), valid_from=0)


FIRST, SECOND = INSTANCE.root.administrators
LOG = INSTANCE.root.logs[0]
OTHER_NAME = replace(INSTANCE.log.signer.ml_dsa_verifier_key, name="log.example/other")
SIGNER = INSTANCE.root.signers[0]

CONTRADICTIONS = {
    "ends before it begins": {"expires": START - DAY},
    "lives too long": {"expires": START - DAY + 1831 * DAY},
    "threshold nobody can meet": {"threshold": 3},
    "production with one administrator": {"grade": d.Grade.PRODUCTION, "threshold": 1},
    "more witnesses demanded than listed": {"witnesses": (LISTED,), "witness_quorum": 2},
    "administrator twice": {"administrators": (FIRST, replace(SECOND, person=FIRST.person))},
    "one key for two administrators": {"administrators": (FIRST, replace(SECOND, authenticators=FIRST.authenticators))},
    "one key twice": {"administrators": (replace(FIRST, authenticators=FIRST.authenticators * 2), SECOND)},
    "log twice": {"logs": (LOG, LOG)},
    "signer twice": {"signers": (SIGNER, replace(SIGNER, key=b"1" * 32))},
    "one key for two signers": {"signers": (SIGNER, replace(SIGNER, id="signer-2"))},
    "witness twice": {"witnesses": (LISTED, LISTED)},
    "one key for two witnesses": {"witnesses": (LISTED, SAME_WITNESS)},
    "log key of another name": {"logs": (replace(LOG, origin="log.example/other"),)},
    "second log key of another name": {"logs": (replace(LOG, ml_dsa=replace(LOG.ml_dsa, key=str(OTHER_NAME))),)},
    "second log key of another type": {"logs": (replace(LOG, ml_dsa=replace(LOG.ml_dsa, key=LOG.key)),)},
    "log key of the second's type": {"logs": (replace(LOG, key=LOG.ml_dsa.key),)},
    "witness key of another name": {"witnesses": (replace(LISTED, name="other.example"),)},
    "log key that cosigns": {"logs": (replace(LOG, key=str(WITNESS.vkey)),)},
    "witness key that does not cosign": {"witnesses": (replace(LISTED, key=LOG.key),)},
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_root_that_contradicts_itself_is_refused(what):
    with pytest.raises(RefusedError) as error:
        check_root(replace(INSTANCE.root, **CONTRADICTIONS[what]))
    assert error.value.code is Code.ROOT_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"witnesses": (LISTED,), "witness_quorum": 1},
        {"grade": d.Grade.PRODUCTION, "threshold": 2},
        {"logs": (replace(LOG, ml_dsa=None),)},
        {"expires": START - DAY + 1830 * DAY},
        {"signers": (SIGNER, signer("signer-2", ed25519.Ed25519PrivateKey.generate()))},
    ],
)
def test_a_sound_root_is_not(changes):
    check_root(replace(INSTANCE.root, **changes))


@pytest.mark.parametrize(
    "key",
    ["log.example/acme+00000000+" + "A" * 44, LOG.key[:-4] + "AAAA", LOG.key + "AAAA"],
    ids=["another key id", "another key", "too long"],
)
def test_a_verifier_key_that_is_none_is_refused(key):
    with pytest.raises(FormatError):
        check_root(replace(INSTANCE.root, logs=(replace(LOG, key=key),)))


def test_a_signer_for_which_anybody_can_sign_is_refused():
    with pytest.raises(FormatError, match="small order"):
        check_root(replace(INSTANCE.root, signers=(replace(SIGNER, key=bytes(32)),)))


@pytest.mark.parametrize(
    "key",
    ["ssh-ed25519 AAAA", "rubbish rubbish rubbish", INSTANCE.people["ada"].key.line() + " x"],
    ids=["cut", "rubbish", "comment"],
)
def test_an_administrators_key_that_is_none_is_refused(key):
    with pytest.raises(FormatError):
        check_root(replace(INSTANCE.root, administrators=(replace(FIRST, authenticators=(d.Authenticator(key=key),)),)))


def test_the_first_root_names_the_instance():
    root, instance = open_first_root(INSTANCE.signed_root(INSTANCE.root))
    assert (root, instance) == (INSTANCE.root, INSTANCE.instance)


@pytest.mark.parametrize("changes", [{"version": 2}, {"previous": "1" * 64}])
def test_a_later_root_cannot_be_the_first(changes):
    with pytest.raises(RefusedError, match="cannot be the first"):
        open_first_root(INSTANCE.signed_root(replace(INSTANCE.root, **changes)))


def test_a_first_root_is_signed_by_its_own_administrators():
    with pytest.raises(RefusedError, match="signed by 0 of 1 administrators"):
        open_first_root(INSTANCE.signed_root(INSTANCE.root, []))
    with pytest.raises(RefusedError, match="signed by 0 of 1 administrators"):
        open_first_root(INSTANCE.signed_root(INSTANCE.root, [SoftPerson("root-a")]))


def open_next(root: d.Root, **follows) -> tuple[d.Root, str]:
    current = {"current": INSTANCE.root, "current_digest": INSTANCE.root_digest, "instance": INSTANCE.instance}
    return open_next_root(INSTANCE.signed_root(root), **(current | follows))


def test_a_next_root_follows_by_number_and_digest():
    assert open_next(INSTANCE.next_root())[0].version == 2
    for changes in ({"version": 3}, {"version": 1}, {"previous": "0" * 64}, {"previous": "1" * 64}):
        with pytest.raises(RefusedError, match="does not follow"):
            open_next(INSTANCE.next_root(**changes))


def test_a_next_root_of_another_instance_has_no_valid_signatures():
    with pytest.raises(RefusedError, match="signed by 0 of 1"):
        open_next(INSTANCE.next_root(), instance="1" * 64)
