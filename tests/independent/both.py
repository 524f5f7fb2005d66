"""The two verifiers side by side: what each says of an image, its evidence and a trust file."""

from tests.independent import verifier

from sealwright.core import records
from sealwright.core.errors import SealwrightError
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import MAX_EVIDENCE_BYTES, Evidence, TrustFile
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS

VALUES = verifier.SPEC / "values"


def value(name: str) -> bytes:
    return (VALUES / name).read_bytes()


def independent(image: bytes, evidence: bytes, trust: bytes) -> str:
    """Return why the independent verifier refuses; nothing if it says "verified"."""
    try:
        verified = verifier.Verification(evidence, trust).check(image)
    except Exception as error:  # noqa: BLE001  (as the program does)
        return str(error) or type(error).__name__
    return "" if verified else "approved only"


def reference(image: bytes, evidence: bytes, trust: bytes) -> str:
    """Return the code with which Sealwright refuses; nothing if it accepts.  A crash is a crash."""
    try:
        read = records.parse(Evidence, evidence, max_bytes=MAX_EVIDENCE_BYTES)
        verify_evidence(read, MemorySource(image), records.parse(TrustFile, trust), FORMATS)
    except SealwrightError as error:
        return str(error.code)
    return ""


def accepted_by(image: bytes, evidence: bytes, trust: bytes) -> set[str]:
    says = {"independent": independent(image, evidence, trust), "reference": reference(image, evidence, trust)}
    return {name for name, refusal in says.items() if not refusal}
