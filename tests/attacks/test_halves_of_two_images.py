"""Attack: the classical signature of one image stands beside the post-quantum signature of another."""

from dataclasses import replace

import pytest
from tests.client.paired import FIRST, SECOND, Pair

from sealwright.client.offline import verify_file
from sealwright.core import records
from sealwright.core.errors import SealwrightError, VerificationError
from sealwright.core.patches import Patch
from sealwright.formats import FORMATS
from sealwright.policy import documents as d


def mixed(pair: Pair, folder):
    """Evidence of the first image, with the second half of the other one."""
    paths = [folder / name for name in ("one.bin", "two.bin")]
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    one, two = (pair.evidence_of(path) for path in paths)
    sidecars = (one.patch.sidecars[0], two.patch.sidecars[1])
    patch = Patch(old_size=one.patch.old_size, sidecars=sidecars)
    return paths[0], replace(one, signatures=(one.signatures[0], two.signatures[1]), patch=patch), one


def write(path, evidence) -> None:
    path.with_name(f"{path.name}.sealwright").write_bytes(records.serialise(evidence))
    for sidecar in evidence.patch.sidecars:
        path.with_name(f"{path.name}{sidecar.suffix}").write_bytes(sidecar.content)


def test_it_is_refused_under_all(tmp_path):
    pair = Pair("raw")
    path, evidence, whole = mixed(pair, tmp_path)
    with pytest.raises(SealwrightError, match="signature of slot signature-2"):
        pair.verify(evidence, path)
    pair.verify(whole, path)


def test_the_half_that_is_right_counts_under_any_and_the_other_is_named(tmp_path):
    pair = Pair("raw", rule=d.KeySetRule.ANY)
    path, evidence, _ = mixed(pair, tmp_path)
    verified = pair.verify(evidence, path)
    assert [profile.id for profile in verified.signing_keys] == [FIRST]
    assert [profile.id for profile in verified.missing_keys] == [SECOND]
    other = replace(evidence, signatures=evidence.signatures[1:])
    with pytest.raises(SealwrightError, match="of none"):
        pair.verify(other, path)


def test_a_file_of_another_image_or_none_beside_the_image_is_refused_under_all_and_said_under_any(tmp_path):
    for rule in d.KeySetRule:
        pair = Pair("raw", rule=rule)
        folder = tmp_path / rule
        folder.mkdir()
        path, evidence, whole = mixed(pair, folder)
        write(path, whole)
        assert verify_file(path, None, pair.trust(), FORMATS).notes == ()
        second = path.with_name(f"{path.name}{whole.patch.sidecars[1].suffix}")
        second.write_bytes(evidence.patch.sidecars[1].content)
        if rule is d.KeySetRule.ALL:
            with pytest.raises(VerificationError, match="is not the file that the evidence proves"):
                verify_file(path, None, pair.trust(), FORMATS)
        else:
            assert any("do not use it" in note for note in verify_file(path, None, pair.trust(), FORMATS).notes)
        second.unlink()
        if rule is d.KeySetRule.ALL:
            with pytest.raises(VerificationError, match="asks for the signatures of all its members"):
                verify_file(path, None, pair.trust(), FORMATS)
        else:
            assert any(
                "the evidence holds a copy" in note for note in verify_file(path, None, pair.trust(), FORMATS).notes
            )


def test_a_file_that_was_exchanged_in_the_evidence_too_is_said_under_any(tmp_path):
    pair = Pair("raw", rule=d.KeySetRule.ANY)
    path, evidence, whole = mixed(pair, tmp_path)
    write(path, evidence)
    second = f"{path.name}{whole.patch.sidecars[1].suffix}"
    notes = verify_file(path, None, pair.trust(), FORMATS).notes
    assert f"{second} is not a file that the evidence proves; do not use it" in notes
    path.with_name(second).unlink()
    assert not any(second in note for note in verify_file(path, None, pair.trust(), FORMATS).notes)
    write(path, whole)
    assert verify_file(path, None, pair.trust(), FORMATS).notes == ()
