"""Whose signature it is: envelopes against the authenticators that root and policy list."""

from dataclasses import replace

import pytest
from tests.simulators.fido import SecurityKey
from tests.simulators.instance import SoftPerson

from sealwright.core import sshsig
from sealwright.core.envelopes import SignatureKind, SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.policy.documents import Administrator, Authenticator
from sealwright.policy.signatures import (
    Namespace,
    public_key_of,
    ssh_key,
    the_envelope,
    verify_ed25519,
    verify_envelope,
    who_signed,
)

DIGEST = "ab" * 32
ADA, BEN = SoftPerson("ada"), SoftPerson("ben")


def administrator(*people: SoftPerson) -> Administrator:
    return Administrator(person=people[0].id, authenticators=tuple(p.authenticator for p in people))


def test_a_signature_is_found_among_several_authenticators():
    envelope = ADA.sign(DIGEST, Namespace.VOTE)
    others = (BEN.authenticator, ADA.authenticator)
    assert verify_envelope(envelope, DIGEST, others, Namespace.VOTE) == ADA.authenticator


@pytest.mark.parametrize("digest", ["ac" * 32, "ab" * 31 + "aa"])
def test_a_signature_over_another_digest_does_not_verify(digest):
    with pytest.raises(VerificationError):
        verify_envelope(ADA.sign(DIGEST, Namespace.VOTE), digest, (ADA.authenticator,), Namespace.VOTE)


def test_every_namespace_is_told_apart():
    assert len(set(Namespace)) == len(Namespace)
    for made in Namespace:
        for wanted in Namespace:
            envelope = ADA.sign(DIGEST, made)
            if made is wanted:
                assert verify_envelope(envelope, DIGEST, (ADA.authenticator,), wanted)
                continue
            with pytest.raises(VerificationError, match="namespace differs"):
                verify_envelope(envelope, DIGEST, (ADA.authenticator,), wanted)


def test_an_authenticator_of_nobody_here_is_refused():
    with pytest.raises(VerificationError, match="does not belong to ada"):
        verify_envelope(ADA.sign(DIGEST, Namespace.VOTE), DIGEST, (BEN.authenticator,), Namespace.VOTE)
    with pytest.raises(VerificationError, match="does not belong to ada"):
        verify_envelope(ADA.sign(DIGEST, Namespace.VOTE), DIGEST, (), Namespace.VOTE)


def test_a_bare_ed25519_signature_is_for_signers_only():
    raw = ADA.private_key.sign(bytes.fromhex(DIGEST))
    envelope = replace(ADA.sign(DIGEST, Namespace.VOTE), kind=SignatureKind.ED25519, signature=raw)
    with pytest.raises(VerificationError, match="people and pipelines sign with SSH keys"):
        verify_envelope(envelope, DIGEST, (ADA.authenticator,), Namespace.VOTE)
    public = ADA.private_key.public_key().public_bytes_raw()
    verify_ed25519(envelope, DIGEST, public)
    with pytest.raises(VerificationError, match="does not verify"):
        verify_ed25519(replace(envelope, signature=raw[::-1]), DIGEST, public)
    with pytest.raises(VerificationError, match="signers sign with Ed25519"):
        verify_ed25519(ADA.sign(DIGEST, Namespace.VOTE), DIGEST, public)


def test_people_count_not_signatures_or_keys():
    second = SoftPerson("ada")
    people = (administrator(ADA, second), administrator(BEN))
    twice = [ADA.sign(DIGEST, Namespace.ROOT), second.sign(DIGEST, Namespace.ROOT), ADA.sign(DIGEST, Namespace.ROOT)]
    assert who_signed(twice, DIGEST, people, Namespace.ROOT) == ({"ada"}, ())
    both = [*twice, BEN.sign(DIGEST, Namespace.ROOT)]
    assert who_signed(both, DIGEST, people, Namespace.ROOT) == ({"ada", "ben"}, ())


def test_signatures_that_are_nobodys_are_given_back():
    people = (administrator(ADA),)
    foreign = [
        BEN.sign(DIGEST, Namespace.ROOT),
        BEN.sign(DIGEST, Namespace.ROOT, signer="ada"),
        ADA.sign(DIGEST, Namespace.POLICY),
        replace(ADA.sign(DIGEST, Namespace.ROOT), signature=b"rubbish"),
    ]
    assert who_signed(foreign, DIGEST, people, Namespace.ROOT) == (frozenset(), tuple(foreign))


def test_one_envelope_is_wanted_where_one_party_signs():
    envelope = ADA.sign(DIGEST, Namespace.VOTE)
    assert the_envelope(SignedDocument(document=b"{}", signatures=(envelope,)), Code.VOTE_INVALID) == envelope
    for signatures in ((), (envelope, envelope)):
        with pytest.raises(RefusedError) as error:
            the_envelope(SignedDocument(document=b"{}", signatures=signatures), Code.VOTE_INVALID)
        assert error.value.code is Code.VOTE_INVALID


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_key_is_the_same_key_whatever_it_is_called(kind):
    fido = SecurityKey(kind)
    reader = sshsig.Reader(fido.blob)
    name, *fields = [reader.string() for _ in range(2 if kind == "ed25519" else 3)]
    plain_name = b"ssh-ed25519" if kind == "ed25519" else b"ecdsa-sha2-nistp256"
    plain = sshsig.parse_public_key(b"".join(map(sshsig.string, (plain_name, *fields)))).line()
    other_application = sshsig.parse_public_key(b"".join(map(sshsig.string, (name, *fields, b"ssh:other")))).line()
    lines = [fido.line, plain, other_application]
    assert len({ssh_key(line).fingerprint for line in lines}) == 3
    assert len({public_key_of(Authenticator(key=line)) for line in lines}) == 1
    assert public_key_of(ADA.authenticator) != public_key_of(BEN.authenticator)


def test_a_key_line_has_one_spelling():
    line = ADA.key.line()
    assert ssh_key(line).line() == line
    for spelled in (line + " ada", line + "\n", "\t" + line, "no-pty " + line):
        with pytest.raises(FormatError):
            ssh_key(spelled)
