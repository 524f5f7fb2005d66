"""Frames and the records in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators.instance import Instance

from sealwright.core import canonical, records
from sealwright.core.errors import Code, FormatError
from sealwright.signer.protocol import LENGTH_BYTES, MAX_FRAME_BYTES, Round, RoundResult, frame, frame_length


@pytest.mark.parametrize("length", [0, 1, MAX_FRAME_BYTES + 1, (1 << 32) - 1])
def test_an_absurd_length_is_refused(length):
    with pytest.raises(FormatError) as error:
        frame_length(length.to_bytes(LENGTH_BYTES, "big"))
    assert error.value.code is Code.INVALID_FRAME


@pytest.mark.parametrize("length", [2, 3, MAX_FRAME_BYTES])
def test_a_sensible_length_is_returned(length):
    assert frame_length(length.to_bytes(LENGTH_BYTES, "big")) == length


def test_a_payload_beyond_the_greatest_length_makes_no_frame():
    assert len(frame(bytes(MAX_FRAME_BYTES))) == MAX_FRAME_BYTES + LENGTH_BYTES
    with pytest.raises(FormatError) as error:
        frame(bytes(MAX_FRAME_BYTES + 1))
    assert error.value.code is Code.INVALID_FRAME


@given(st.binary(max_size=300))
def test_bytes_that_are_no_round_are_a_format_error(data):
    with pytest.raises(FormatError):
        records.load(Round, canonical.decode(data, max_bytes=MAX_FRAME_BYTES))


def test_a_round_and_its_answer_survive_the_way():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    order = Round(
        start=index,
        entries=(instance.log.entries[index],),
        checkpoint=instance.log.checkpoint(),
        sign=(instance.order(submission, index),),
        release=(index,),
    )
    assert records.parse(Round, records.serialise(order)) == order
    result = instance.engine.handle(order)
    assert result.signed[0].outcome
    assert records.parse(RoundResult, records.serialise(result)) == result


@pytest.mark.parametrize("limit", ["entries", "sign", "release", "sections"])
def test_lists_have_a_greatest_length(limit):
    many = {"entries": 65_537, "sections": 65_537, "sign": 1025, "release": 1025}[limit]
    item = {"entries": "", "sections": "", "sign": {}, "release": 1}[limit]
    with pytest.raises(FormatError):
        records.load(Round, {"start": 0, limit: [item] * many})
