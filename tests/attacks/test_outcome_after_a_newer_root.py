"""A signer that a newer root dropped goes on with the root that listed it, and its outcomes are logged all the same.

Here ``verify`` refuses, not the signer: this one is evil.
"""

from dataclasses import replace

import pytest
from tests.spec.installation import IMAGES, Installation

from sealwright.core.errors import Code, RefusedError
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import TrustFile
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS

INSTALLATION = Installation()
EVIDENCE = INSTALLATION.evidence("boot.bin")


def knowing_a_newer_root(size: int) -> TrustFile:
    """The trust file of somebody who saw, at this size of the log, that a third root was in force."""
    trust = INSTALLATION.trust()
    return replace(trust, roots=(*trust.roots, "3" * 64), as_of=replace(trust.as_of, size=size))


def verify(trust: TrustFile) -> None:
    verify_evidence(EVIDENCE, MemorySource(IMAGES["boot.bin"]), trust, FORMATS)


def test_an_outcome_logged_once_the_root_was_replaced_is_refused():
    with pytest.raises(RefusedError, match="root version 2 was replaced when the outcome was logged") as error:
        verify(knowing_a_newer_root(EVIDENCE.outcome_index))
    assert error.value.code is Code.ROOT_INVALID


def test_an_outcome_logged_before_is_as_good_as_ever():
    verify(knowing_a_newer_root(EVIDENCE.outcome_index + 1))
    verify(INSTALLATION.trust())
