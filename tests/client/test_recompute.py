"""Evil slots under a clean image are found by whoever rebuilds them from a file of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.client.signed import Maker
from tests.formats import fits

from sealwright.client.compose import PreparedArtifact
from sealwright.client.files import FileSource
from sealwright.client.recompute import recompute
from sealwright.core import records
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.images import ByteSource, MemorySource
from sealwright.formats import FORMATS
from sealwright.policy.documents import Request

CLEAN, EVIL = b"clean firmware " * 100, b"evil! firmware " * 100


@pytest.fixture(scope="module")
def raw() -> Maker:
    return Maker()


@pytest.fixture(scope="module")
def fit_maker() -> Maker:
    return Maker("u-boot-fit")


@pytest.fixture(scope="module")
def fit_image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A FIT with two configurations, so with two slots."""
    both = {name: {"kernel": ["kernel-1"], "fdt": ["fdt-1"]} for name in ("conf-1", "conf-2")}
    return fits.Recipe(configurations=both).build(tmp_path_factory.mktemp("fit"))


def prepared(maker: Maker, folder: Path, data: bytes, name: str = "router.bin", **options: Any) -> PreparedArtifact:
    path = folder / name
    path.write_bytes(data)
    return maker.prepare(path, options=maker.options() | options)


def check(maker: Maker, request: Request, **images: bytes) -> None:
    sources: dict[str, ByteSource] = {name.replace("_", "."): MemorySource(data) for name, data in images.items()}
    # As it comes from a server: through its canonical bytes.
    received = records.parse(Request, records.serialise(request))
    assert recompute(received, sources, maker.profiles, FORMATS).request == received


def refused(maker: Maker, request: Request, code: Code, **images: bytes) -> str:
    with pytest.raises(VerificationError) as caught:
        check(maker, request, **images)
    assert caught.value.code is code
    return caught.value.message


def test_an_honest_request_is_rebuilt(tmp_path, raw, fit_maker, fit_image):
    check(raw, raw.request(prepared(raw, tmp_path, CLEAN)), router_bin=CLEAN)
    check(fit_maker, fit_maker.request(prepared(fit_maker, tmp_path, fit_image, "fit.itb")), fit_itb=fit_image)


def test_an_image_file_is_rebuilt_like_one_in_memory(tmp_path, raw):
    request = raw.request(prepared(raw, tmp_path, CLEAN))
    with FileSource(tmp_path / "router.bin") as source:
        recompute(request, {"router.bin": source}, raw.profiles, FORMATS)


def test_the_slot_of_another_image_under_a_clean_artifact_is_found(tmp_path, raw):
    clean, evil = prepared(raw, tmp_path, CLEAN), prepared(raw, tmp_path, EVIL)
    request = raw.request(replace(clean, slots=evil.slots))
    message = refused(raw, request, Code.SLOTS_DIFFER, router_bin=CLEAN)
    assert message.startswith("digest of slot signature of artifact router.bin: expected ")
    assert clean.slots[0].digest in message
    assert evil.slots[0].digest in message


def test_another_image_than_the_approved_one_is_found(tmp_path, raw):
    request = raw.request(prepared(raw, tmp_path, EVIL))
    assert "this file is not artifact router.bin" in refused(raw, request, Code.IMAGE_MISMATCH, router_bin=CLEAN)
    message = refused(raw, request, Code.IMAGE_MISMATCH, router_bin=CLEAN + b"!")
    assert message.endswith("expected 1500 bytes, got 1501 bytes")


def test_one_of_two_digests_alone_does_not_name_an_image(tmp_path, raw):
    clean, evil = prepared(raw, tmp_path, CLEAN), prepared(raw, tmp_path, EVIL)
    for name in ("sha256", "sha512"):
        artifact = replace(clean.artifact, **{name: getattr(evil.artifact, name)})
        refused(raw, raw.request(replace(clean, artifact=artifact)), Code.IMAGE_MISMATCH, router_bin=CLEAN)


def test_options_changed_after_the_slots_were_made_are_found(tmp_path, raw):
    clean = prepared(raw, tmp_path, CLEAN)
    later = replace(clean.artifact, options={"signing_time": raw.instance.clock.now() + 1})
    message = refused(raw, raw.request(replace(clean, artifact=later)), Code.SLOTS_DIFFER, router_bin=CLEAN)
    assert message.startswith("digest of slot signature")


def test_an_option_that_the_format_does_not_know_is_found(tmp_path, raw):
    clean = prepared(raw, tmp_path, CLEAN)
    odd = replace(clean.artifact, options={**clean.artifact.options, "backdoor": True})
    message = refused(raw, raw.request(replace(clean, artifact=odd)), Code.SLOTS_DIFFER, router_bin=CLEAN)
    assert "the slots cannot be rebuilt" in message
    assert "backdoor" in message


def test_options_that_are_not_frozen_are_found(tmp_path, fit_maker, fit_image):
    honest = prepared(fit_maker, tmp_path, fit_image, "fit.itb")
    assert "configurations" in honest.artifact.options
    loose = replace(honest, artifact=replace(honest.artifact, options={"key_name": "dev"}))
    message = refused(fit_maker, fit_maker.request(loose), Code.SLOTS_DIFFER, fit_itb=fit_image)
    assert "configurations" in message
    assert "are not frozen as they are used" in message


@pytest.mark.parametrize("away", [-700, 90_000])
def test_a_time_outside_the_life_of_the_request_is_found(tmp_path, raw, away):
    time = raw.instance.clock.now() + away
    request = raw.request(prepared(raw, tmp_path, CLEAN, signing_time=time))
    with pytest.raises(RefusedError, match=f"option signing_time is {time}, outside the request's life") as caught:
        check(raw, request, router_bin=CLEAN)
    assert caught.value.code is Code.REQUEST_INVALID


def test_a_configuration_left_out_is_found(tmp_path, fit_maker, fit_image):
    honest = prepared(fit_maker, tmp_path, fit_image, "fit.itb")
    assert len(honest.slots) == 2
    request = fit_maker.request(replace(honest, slots=honest.slots[:1]))
    message = refused(fit_maker, request, Code.SLOTS_DIFFER, fit_itb=fit_image)
    assert message == f"artifact fit.itb: the request leaves out slot {honest.slots[1].slot}, which this image needs"


def test_an_extra_slot_is_found(tmp_path, raw):
    clean, evil = prepared(raw, tmp_path, CLEAN), prepared(raw, tmp_path, EVIL)
    extra = replace(evil.slots[0], slot="second")
    request = raw.request(replace(clean, slots=(*clean.slots, extra)))
    message = refused(raw, request, Code.SLOTS_DIFFER, router_bin=CLEAN)
    assert message == "artifact router.bin: the request asks for slot second, which this image does not have"


def test_slots_in_another_order_or_of_another_key_are_found(tmp_path, fit_maker, fit_image):
    honest = prepared(fit_maker, tmp_path, fit_image, "fit.itb")
    turned = fit_maker.request(replace(honest, slots=honest.slots[::-1]))
    assert "in another order" in refused(fit_maker, turned, Code.SLOTS_DIFFER, fit_itb=fit_image)
    stranger = "router/production/1"
    other_key = tuple(replace(slot, key_profile=stranger) for slot in honest.slots)
    request = fit_maker.request(replace(honest, slots=other_key))
    assert "the slots cannot be rebuilt" in refused(fit_maker, request, Code.SLOTS_DIFFER, fit_itb=fit_image)
    unknown = tuple(replace(slot, key_profile="nobody/1") for slot in honest.slots)
    request = fit_maker.request(replace(honest, slots=unknown))
    assert "which the policy does not have" in refused(fit_maker, request, Code.SLOTS_DIFFER, fit_itb=fit_image)


def test_a_slot_of_an_artifact_that_is_not_there_is_found(tmp_path, raw):
    clean, evil = prepared(raw, tmp_path, CLEAN), prepared(raw, tmp_path, EVIL)
    request = raw.request(clean)
    foreign = replace(request, slots=(*request.slots, replace(evil.slots[0], artifact="ghost.bin")))
    message = refused(raw, foreign, Code.SLOTS_DIFFER, router_bin=CLEAN)
    assert message == "slot signature belongs to no artifact"


def test_an_artifact_without_a_slot_is_found(tmp_path, raw):
    clean, other = prepared(raw, tmp_path, CLEAN), prepared(raw, tmp_path, EVIL, "other.bin")
    request = replace(raw.request(clean, other), slots=clean.slots)
    message = refused(raw, request, Code.SLOTS_DIFFER, router_bin=CLEAN, other_bin=EVIL)
    assert "artifact other.bin" in message


def test_every_image_of_a_request_must_be_the_approvers_own(tmp_path, raw):
    request = raw.request(prepared(raw, tmp_path, CLEAN), prepared(raw, tmp_path, EVIL, "other.bin"))
    check(raw, request, router_bin=CLEAN, other_bin=EVIL)
    message = refused(raw, request, Code.IMAGE_MISMATCH, router_bin=CLEAN)
    assert message == "no file of your own was given for artifact other.bin"
    message = refused(raw, request, Code.IMAGE_MISMATCH, router_bin=CLEAN, other_bin=EVIL, third_bin=EVIL)
    assert message == "the request has no artifact third.bin, it has router.bin, other.bin"


def test_an_unknown_format_is_told(tmp_path, raw):
    clean = prepared(raw, tmp_path, CLEAN)
    request = raw.request(replace(clean, artifact=replace(clean.artifact, image_format="elf")))
    with pytest.raises(FormatError, match="format elf is unknown here"):
        check(raw, request, router_bin=CLEAN)


def test_an_image_that_its_format_refuses_is_told(tmp_path, raw):
    clean = prepared(raw, tmp_path, CLEAN)
    keys = {slot.key_profile: replace(raw.profile, image_format=None) for slot in clean.slots}
    request = raw.request(replace(clean, artifact=replace(clean.artifact, image_format="uefi-pe")))
    with pytest.raises(VerificationError, match="the slots cannot be rebuilt"):
        recompute(request, {"router.bin": MemorySource(CLEAN)}, keys, FORMATS)
