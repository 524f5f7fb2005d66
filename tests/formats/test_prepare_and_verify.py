"""What prepare takes must be accepted when it is fetched: else it is approved, signed, logged, and nobody gets it."""

import pytest
from tests.formats.throwaway import signer
from tests.fuzz.harness import CORPUS, FormatTarget, refused
from tests.fuzz.targets import TARGETS

from sealwright.core.images import MemorySource
from sealwright.formats.targets import ANY

APPENDING = {
    name: target.run
    for name, target in TARGETS.items()
    if isinstance(target.run, FormatTarget) and not all(signing.verifies for signing in target.run.signings)
}


def test_the_formats_that_sign_beside_other_peoples_signatures_are_these() -> None:
    """Of all others, and of signatures that stand alone, the kept inputs of the fuzz runs show it (tests/fuzz)."""
    assert {*APPENDING} == {"uefi-pe", "esp32-secure-boot-v2", "suit"}


@pytest.mark.parametrize("name", APPENDING)
def test_an_image_signed_beside_other_peoples_signatures_verifies_with_the_new_key_alone(name: str) -> None:
    target, taken = APPENDING[name], 0
    for path in sorted((CORPUS / name).glob("signed*")):
        image = MemorySource(path.read_bytes())
        for signing in target.signings:
            by = signer(signing.algorithm)
            prepared = refused(
                lambda image=image, by=by, signing=signing: target.module.prepare(
                    image, [by.signing_key()], signing.options, ANY
                )
            )
            if prepared is not None:
                patch = prepared.assemble(by.sign_all(prepared))
                signed = MemorySource(b"".join(patch.apply(image)))
                assert target.module.verify(signed, by.trust, {}).keys == (by.public_key,)
                taken += 1
    assert taken, "prepare refuses every seed: nothing was shown"
