"""An image signed in portions is delivered portion by portion, with a note of what is left; nothing waits for ever."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.client.signed import Maker
from tests.formats import fits
from tests.verifiers import uboot

from sealwright.cli.deliveries import delivered_json, show_delivered
from sealwright.client.assembly import Delivered, assemble, deliver
from sealwright.client.delivery import Place, deliver_all
from sealwright.client.files import FileSource
from sealwright.client.offline import verify_file
from sealwright.client.settings import Settings
from sealwright.core.errors import VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import FORMATS, fit
from sealwright.formats.fit_key_node import with_key_node
from sealwright.formats.interface import Trust

LEFT = "not signed yet: configuration conf-2; sign it in this file, --option configurations=conf-2"
OTHERS = "signatures of other requests, not judged here: configuration conf-1"


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker("u-boot-fit")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    names = {f"conf-{n}": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]} for n in (1, 2)}
    path = tmp_path / "router.itb"
    path.write_bytes(fits.Recipe(configurations=names).build(tmp_path))
    return path


def sign(maker: Maker, path: Path, output: Path, *names: str) -> Delivered:
    prepared = maker.prepare(path, options={"key_name": "dev", "configurations": [*names]} if names else None)
    dossier = maker.sign(prepared)
    with FileSource(path) as source:
        evidence = assemble(dossier, path.name, source, FORMATS)
        return deliver(evidence, source, output, maker.trust(), FORMATS)


def test_portions_are_delivered_one_after_the_other_and_uboots_tool_takes_both(
    maker: Maker, image: Path, tmp_path: Path
) -> None:
    key = PublicKey(maker.profile.public_key)
    first = sign(maker, image, tmp_path / "first.itb", "conf-1")
    assert first.notes == (LEFT,)
    assert verify_file(first.image, None, maker.trust(), FORMATS).notes == (LEFT,)
    second = sign(maker, first.image, tmp_path / "second.itb", "conf-2")
    assert second.notes == (OTHERS,)
    assert verify_file(second.image, None, maker.trust(), FORMATS).notes == (OTHERS,)
    assert fit.verify(MemorySource(second.image.read_bytes()), Trust(keys=(key,)), {}).keys == (key,)
    control = with_key_node(uboot.small_dtb(), key, Algorithm.RSA_PKCS1_SHA256, "dev")
    judged = {
        (path.name, name): uboot.fit_check_sign(path.read_bytes(), control, tmp_path, name).returncode == 0
        for path in (first.image, second.image)
        for name in ("conf-1", "conf-2")
    }
    assert [taken for taken in judged if not judged[taken]] == [("first.itb", "conf-2")]


def test_an_image_signed_as_a_whole_has_no_notes(maker: Maker, image: Path, tmp_path: Path) -> None:
    done = sign(maker, image, tmp_path / "whole.itb")
    assert done.notes == verify_file(done.image, None, maker.trust(), FORMATS).notes == ()


def test_a_portion_whose_signature_is_changed_is_refused(maker: Maker, image: Path, tmp_path: Path) -> None:
    prepared = maker.prepare(image, options={"key_name": "dev", "configurations": ["conf-1"]})
    dossier = maker.sign(prepared)
    with FileSource(image) as source:
        evidence = assemble(dossier, image.name, source, FORMATS)
        (signature,) = evidence.signatures
        wrong = replace(evidence, patch=prepared.prepared.assemble({"conf-1/signature-1": signature[:-1] + b"\0"}))
        with pytest.raises(VerificationError):
            deliver(wrong, source, tmp_path / "out.itb", maker.trust(), FORMATS)
    assert not (tmp_path / "out.itb").exists()


def test_the_note_is_told_to_people_and_programs_also_when_a_job_runs_again(
    maker: Maker, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dossier = maker.sign(maker.prepare(image, options={"key_name": "dev", "configurations": ["conf-1"]}))
    with FileSource(image) as source:
        place = Place(path=tmp_path / "out.itb")
        settings = Settings(url="", trust_path=tmp_path / "t", trust=maker.trust(), identity=tmp_path / "i")
        for _ in range(2):
            delivered = deliver_all(settings, dossier, {image.name: source}, place)
            assert [done.notes for done in delivered] == [(LEFT,)]
    show_delivered(delivered, tmp_path / "trust.json")
    assert f"note           {LEFT}" in capsys.readouterr().out
    assert delivered_json(delivered, tmp_path / "trust.json")[0]["notes"] == [LEFT]
