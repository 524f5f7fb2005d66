"""Attack: of two signatures that a key set asks for, only one is requested, or only one arrives."""

from dataclasses import replace

import pytest
from tests.client.paired import FIRST, SECOND, Pair

from sealwright.core.errors import Code, SealwrightError
from sealwright.policy import documents as d

ALL, ANY = d.KeySetRule.ALL, d.KeySetRule.ANY


@pytest.fixture(scope="module", params=[ALL, ANY])
def pair(request):
    return Pair("raw", rule=request.param)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "app.bin"
    path.write_bytes(b"firmware" * 100)
    return path


@pytest.mark.parametrize("alone", [FIRST, SECOND])
def test_a_request_for_one_member_is_refused_by_the_signer_under_either_rule(pair, image, alone):
    prepared = pair.prepare_with(image, alone)
    submission = pair.instance.submit(pair.request(prepared), messages=prepared.messages)
    submission.rules = "0" * 64
    pair.instance.vote(submission, "ben", "cleo")
    assert pair.instance.refusal(submission) is Code.KEY_SET_INCOMPLETE


def test_both_are_signed_found_and_named(pair, image):
    verified = pair.verify(pair.evidence_of(image), image)
    assert [profile.id for profile in verified.signing_keys] == [FIRST, SECOND]
    assert [(s.id, s.rule) for s in verified.key_sets] == [("pair", pair.rule)]
    assert not verified.missing_keys


@pytest.mark.parametrize(("kept", "lost"), [(FIRST, SECOND), (SECOND, FIRST)])
def test_a_stripped_half_is_refused_under_all_and_named_under_any(pair, image, kept, lost):
    stripped = pair.half(pair.evidence_of(image), image, kept)
    if pair.rule is ALL:
        with pytest.raises(SealwrightError):
            pair.verify(stripped, image)
        return
    verified = pair.verify(stripped, image)
    assert [profile.id for profile in verified.signing_keys] == [kept]
    assert [profile.id for profile in verified.missing_keys] == [lost]


def test_none_at_all_is_refused_under_either_rule(pair, image):
    evidence = pair.evidence_of(image)
    for signatures in ((b"x",), (b"x", b"y")):
        with pytest.raises(SealwrightError):
            pair.verify(replace(evidence, signatures=signatures), image)
