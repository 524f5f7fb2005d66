"""What key sets are for: a fleet between two keys, and two places that keep keys; the outside verifier takes both."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.client.paired import FIRST, SECOND, Pair
from tests.conftest import PROJECT
from tests.formats import efi_images
from tests.verifiers import sbverify

from sealwright.client.assembly import assemble
from sealwright.client.signing import Order, choose_keys
from sealwright.core import records
from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.evidence.bundle import Evidence
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.policy import key_sets

ANY, RSA = d.KeySetRule.ANY, Algorithm.RSA_PKCS1_SHA256


def order(*key_profiles: str) -> Order:
    return Order(
        product="gateway", release="1", environment=d.Environment.PRODUCTION, lifetime_seconds=60,
        key_profiles=key_profiles,
    )  # fmt: skip


def test_a_rotation_bridge_is_accepted_by_devices_of_the_old_and_of_the_new_key(tmp_path):
    pair = Pair("uefi-pe", algorithm=RSA, second=RSA, rule=ANY)
    path = tmp_path / "app.efi"
    path.write_bytes(efi_images.image())
    evidence = pair.evidence_of(path)
    assert not pair.verify(evidence, path).missing_keys
    signed = tmp_path / "signed.efi"
    signed.write_bytes(b"".join(evidence.patch.apply(MemorySource(path.read_bytes()))))
    for member in (FIRST, SECOND):
        anchor = tmp_path / "anchor.pem"
        certificate = x509.load_der_x509_certificate(pair.profiles[member].certificates[0])
        anchor.write_bytes(certificate.public_bytes(Encoding.PEM))
        assert sbverify.verify(signed, anchor).returncode == 0
        assert sbverify.verify(path, anchor).returncode == 1
    alone = pair.half(evidence, path, SECOND)
    verified = pair.verify(alone, path)
    assert [profile.id for profile in verified.missing_keys] == [FIRST]
    assert verified.key_sets[0].rule is ANY
    strict = Pair("uefi-pe", algorithm=RSA, second=RSA)
    evidence = strict.evidence_of(path)
    strict.verify(evidence, path)
    with pytest.raises(SealwrightError):
        strict.verify(strict.half(evidence, path, SECOND), path)


def test_two_providers_of_one_scope_sign_together_and_a_second_partition_without_a_set_is_refused(tmp_path):
    pair = Pair("raw", second_partition="other-provider")
    path = tmp_path / "app.bin"
    path.write_bytes(b"firmware" * 50)
    verified = pair.verify(pair.evidence_of(path), path)
    assert {profile.partition for profile in verified.signing_keys} == {"gateway-production", "other-provider"}
    assert all(pair.instance.partitions[profile.partition].signed for profile in verified.signing_keys)
    scope = pair.instance.sections["scope", "gateway/production"]
    pair.instance.put(d.Scope(**{f: getattr(scope, f) for f in scope.__slots__ if f != "key_sets"}))
    pair.instance.log_policy()
    with pytest.raises(RefusedError, match="more than one partition"):
        pair.instance.loaded()


def test_sign_takes_the_set_of_the_product_by_itself():
    pair = Pair("raw")
    standing = pair.instance.standing()
    for named in ((), ("pair",), ("1", "2")):
        assert [key.id for key in choose_keys(order(*named), ["raw"], standing)["raw"]] == [FIRST, SECOND]
    pair.instance.with_key("gateway/production/3")
    sets = [d.KeySet(id="pair", members=(FIRST, SECOND), rule=d.KeySetRule.ALL, image_format="raw")]
    sets.append(d.KeySet(id="third", members=("gateway/production/3",), rule=d.KeySetRule.ALL, image_format="raw"))
    pair.put_key_set(*sets)
    pair.instance.log_policy()
    with pytest.raises(RefusedError, match="2 key sets of gateway/production sign raw: pair, third"):
        choose_keys(order(), ["raw"], pair.instance.standing())
    assert [k.id for k in choose_keys(order("third"), ["raw"], pair.instance.standing())["raw"]] == [
        "gateway/production/3"
    ]


def second_verifier(folder: Path, image: Path, pair: Pair, evidence: Evidence) -> tuple[int, str]:
    for name, record in (("evidence", evidence), ("trust", pair.trust())):
        (folder / name).write_bytes(records.serialise(record))
    verifier = PROJECT / "tests" / "independent" / "verifier.py"
    command = [sys.executable, verifier, image, folder / "evidence", folder / "trust"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.returncode, said.stdout


def test_the_second_verifier_demands_whole_sets_too(tmp_path, monkeypatch):
    pair = Pair("raw")
    path = tmp_path / "app.bin"
    path.write_bytes(b"firmware" * 50)
    evidence = pair.evidence_of(path)
    code, said = second_verifier(tmp_path, path, pair, evidence)
    assert (code, said[:16]) == (0, "approved (slots ")
    code, said = second_verifier(tmp_path, path, pair, replace(evidence, signatures=evidence.signatures[:1]))
    assert (code, said[:20]) == (1, "refused: evidence 27")
    with monkeypatch.context() as evil:  # a signer that knows no key sets
        evil.setattr(key_sets, "check_request", lambda *_: None)
        dossier = pair.sign(pair.prepare_with(path, FIRST))
        half = assemble(dossier, path.name, MemorySource(path.read_bytes()), FORMATS)
    code, said = second_verifier(tmp_path, path, pair, half)
    assert (code, said[:48]) == (1, "refused: authorise 20: For each artifact, if [ke")
    with pytest.raises(RefusedError) as refused:
        pair.verify(half, path)
    assert refused.value.code is Code.KEY_SET_INCOMPLETE
