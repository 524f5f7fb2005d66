"""Signed files appear complete, verified by the format and by the whole evidence, or not at all."""

from pathlib import Path

import pytest
from tests.client.signed import Maker

from sealwright.client.assembly import assemble, deliver
from sealwright.client.files import FileSource
from sealwright.client.offline import verify_file
from sealwright.formats import FORMATS

IMAGE = b"firmware of a router " * 4000


@pytest.fixture(scope="module")
def raw() -> Maker:
    return Maker()


def image_file(folder: Path, data: bytes = IMAGE, name: str = "router.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_raw_image_stays_and_signature_and_evidence_lie_beside_it(tmp_path, raw):
    path = image_file(tmp_path)
    dossier = raw.sign(raw.prepare(path))
    with FileSource(path) as source:
        evidence = assemble(dossier, path.name, source, FORMATS)
        delivered = deliver(evidence, source, None, raw.trust(), FORMATS)
    assert delivered.image == path
    assert path.read_bytes() == IMAGE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["router.bin", "router.bin.p7s", "router.bin.sealwright"]
    assert verify_file(path, None, raw.trust(), FORMATS).notes == ()
    assert delivered.verified.recomputed == 2
