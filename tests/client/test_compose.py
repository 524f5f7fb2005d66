"""Documents say what was chosen, are signed under the namespace of their kind, and fail early where they would late."""

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.client.signed import PRODUCT, Maker
from tests.conftest import require_tool
from tests.simulators.instance import DAY

from sealwright.client import compose
from sealwright.client.files import FileSource
from sealwright.client.recompute import recompute
from sealwright.core import records, sshsig
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.keys import Algorithm
from sealwright.formats import FORMATS
from sealwright.policy.authorise import check_request, check_vote, rules_of
from sealwright.policy.documents import (
    Authenticator,
    Checked,
    Decision,
    Environment,
    RestrictionKind,
    State,
)

IMAGE = b"firmware"


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "router.bin"
    path.write_bytes(IMAGE)
    return path


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "id_ed25519"
    subprocess.run([require_tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def test_an_artifact_names_the_image_by_both_digests(maker, image):
    prepared = maker.prepare(image)
    artifact = prepared.artifact
    assert (artifact.name, artifact.size, artifact.image_format) == ("router.bin", 8, "raw")
    assert (artifact.sha256, artifact.sha512) == (hashlib.sha256(IMAGE).hexdigest(), hashlib.sha512(IMAGE).hexdigest())
    assert artifact.options == {"signing_time": maker.instance.clock.now()}
    assert [(s.artifact, s.key_profile) for s in prepared.slots] == [("router.bin", maker.profile.id)]
    assert prepared.slots[0].digest == prepared.prepared.slots[0].digest.hex()
    assert prepared.messages == ()


def test_a_key_that_signs_messages_brings_them_in_the_order_of_the_slots(image):
    maker = Maker("raw", Algorithm.ED25519)
    prepared = maker.prepare(image)
    assert [hashlib.sha256(message).hexdigest() for message in prepared.messages] == [s.digest for s in prepared.slots]


def test_a_large_image_is_prepared_like_a_small_one(tmp_path, maker):
    path = tmp_path / "large.bin"
    data = b"0123456789abcdef" * (200 << 10)
    path.write_bytes(data)
    prepared = maker.prepare(path)
    assert prepared.artifact.sha512 == hashlib.sha512(data).hexdigest()


@pytest.mark.parametrize("name", ["router.bin", "a", "_", "x" * 200, "A+b@c=d,e-f.g"])
def test_a_plain_file_name_names_its_artifact(name):
    assert compose.artifact_name(Path("/some/folder") / name) == name


@pytest.mark.parametrize("name", ["..", ".hidden", "with space", "ü.bin", "x" * 201, "new\nline", "a:b", "\x1b[2J", ""])
def test_an_odd_file_name_is_refused_with_what_would_help(name):
    with pytest.raises(FormatError, match="cannot name an artifact") as caught:
        compose.artifact_name(Path("/folder") / name if name else Path("/"))
    assert "copy the image to a name" in caught.value.hint


def test_a_request_is_one_that_the_signer_takes(maker, image):
    request = maker.request(maker.prepare(image))
    submission = maker.instance.submit(request)
    checked = check_request(submission.request, maker.instance.standing(), maker.instance.clock.now())
    assert checked.request == request
    assert request.expires == request.created + DAY


def test_two_requests_for_the_same_are_two(maker, image):
    one, two = (maker.request(maker.prepare(image)) for _ in range(2))
    assert one.id != two.id
    assert one.salt != two.salt


def test_time_and_entropy_are_those_of_the_caller(maker, image):
    def make() -> bytes:
        prepared = maker.prepare(image)
        return records.serialise(
            compose.new_request(
                [prepared], log="log.example/acme", requester="ada", product=PRODUCT, release="1", now=5,
                environment=Environment.TEST, lifetime_seconds=60, entropy=bytes,
            )
        )  # fmt: skip

    assert make() == make()
    assert b'"created":5,' in make()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"release": "-1"}, "release: '-1' does not match"),
        ({"release": ""}, "release: '' does not match"),
        ({"product": "Router"}, "product: 'Router' does not match"),
        ({"requester": "Ada Lovelace"}, "requester: 'Ada Lovelace' does not match"),
        ({"lifetime_seconds": 31 * DAY}, "a request lives at most 2592000 seconds, not 2678400"),
        ({"lifetime_seconds": 0}, "a request lives at most 2592000 seconds, not 0"),
    ],
)
def test_a_request_that_nobody_would_take_is_told_to_its_author(maker, image, changes, said):
    choices = {
        "log": "log.example/acme", "requester": "ada", "product": PRODUCT, "release": "1", "now": 5,
        "environment": Environment.TEST, "lifetime_seconds": 60, "entropy": os.urandom,
    }  # fmt: skip
    with pytest.raises(FormatError, match=said) as caught:
        compose.new_request([maker.prepare(image)], **choices | changes)
    assert caught.value.code is Code.INVALID_DOCUMENT


def test_two_images_of_one_name_are_refused(tmp_path, maker, image):
    other = tmp_path / "other" / "router.bin"
    other.parent.mkdir()
    other.write_bytes(b"other")
    with pytest.raises(FormatError, match=r"two images are named router\.bin"):
        maker.request(maker.prepare(image), maker.prepare(other))


def test_a_request_holds_two_hundred_signatures_and_no_more(maker, image):
    one = maker.prepare(image)
    many = [
        replace(
            one, artifact=replace(one.artifact, name=f"{n}.bin"), slots=(replace(one.slots[0], artifact=f"{n}.bin"),)
        )
        for n in range(201)
    ]
    assert len(maker.request(*many[:200]).slots) == 200
    with pytest.raises(FormatError, match="201 signatures in one request, 1 to 200 are possible") as caught:
        maker.request(*many)
    assert caught.value.hint == "request in portions"


def test_an_image_without_a_slot_and_a_slot_twice_are_refused(maker, image):
    one = maker.prepare(image)
    bare = replace(one, artifact=replace(one.artifact, name="bare.bin"), slots=())
    with pytest.raises(FormatError, match=r"bare\.bin asks for no signature"):
        maker.request(one, bare)
    with pytest.raises(FormatError, match="0 signatures"):
        maker.request(bare)
    with pytest.raises(FormatError, match="the same signature twice"):
        maker.request(replace(one, slots=(one.slots[0], replace(one.slots[0], slot="again"))))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"state": State.REVOKED}, "is revoked"), ({"image_format": "mcuboot"}, "signs mcuboot images, this one is raw")],
)
def test_a_key_that_may_not_sign_this_is_told_before_the_image_is_read(maker, image, changes, said):
    with FileSource(image) as source, pytest.raises(RefusedError, match=said) as caught:
        compose.prepare_artifact(source, "a", FORMATS["raw"], [replace(maker.profile, **changes)], maker.options())
    assert caught.value.code is Code.KEY_PROFILE_MISMATCH
    assert "sealwright key list --product gateway" in caught.value.hint


def test_a_signed_request_and_vote_are_valid_under_their_own_namespace_only(maker, image, identity):
    instance = maker.instance
    key = sshsig.parse_public_key(identity.with_suffix(".pub").read_text())
    kept = instance.sections["person", "cleo"]
    instance.put(replace(kept, authenticators=(Authenticator(key=key.line()),)))
    instance.log_policy()
    standing, now = instance.standing(), instance.clock.now()
    by_cleo = maker.request(maker.prepare(image), requester="cleo")
    signed = compose.sign_document(by_cleo, instance=instance.instance, identity=identity, signer="cleo")
    assert check_request(signed, standing, now).requesters == {"cleo"}

    request = maker.request(maker.prepare(image))
    checked = check_request(instance.submit(request).request, standing, now)
    _, _, rules = rules_of(request, standing)
    vote = compose.new_vote(
        request, instance=instance.instance, rules=rules, decision=Decision.APPROVE, person="cleo", now=now,
        entropy=os.urandom,
    )  # fmt: skip
    signed = compose.sign_document(vote, instance=instance.instance, identity=identity, signer="cleo")
    assert check_vote(signed, checked, rules, standing, now=now).vote == vote
    digest = bytes.fromhex(document_digest("vote", instance.instance, signed.document))
    with pytest.raises(VerificationError, match="namespace differs"):
        sshsig.verify(signed.signatures[0].signature, key=key, namespace="sealwright-request-v1", message=digest)
    instance.put(kept)
    instance.log_policy()


def test_a_vote_says_recomputed_only_on_the_strength_of_a_recomputation(maker, image):
    request = maker.request(maker.prepare(image))
    choices = {
        "instance": maker.instance.instance, "rules": "0" * 64, "decision": Decision.APPROVE, "person": "ben",
        "now": 5, "entropy": os.urandom,
    }  # fmt: skip
    assert compose.new_vote(request, **choices).checked is Checked.DISPLAYED
    with FileSource(image) as source:
        recomputed = recompute(request, {"router.bin": source}, maker.profiles, FORMATS)
    assert compose.new_vote(request, **choices, recomputed=recomputed).checked is Checked.RECOMPUTED
    other = maker.request(maker.prepare(image))
    with pytest.raises(FormatError, match="another request was recomputed than is voted on"):
        compose.new_vote(other, **choices, recomputed=recomputed)


def test_a_restriction_names_its_reason():
    made = compose.new_restriction(
        RestrictionKind.REVOKE_PERSON, "ben", person="cleo", reason="left the company", now=5, entropy=os.urandom
    )
    assert (made.kind, made.subject, made.reason) == (RestrictionKind.REVOKE_PERSON, "ben", "left the company")
    with pytest.raises(FormatError, match="reason: 0 is outside"):
        compose.new_restriction(made.kind, "ben", person="cleo", reason="", now=5, entropy=os.urandom)
