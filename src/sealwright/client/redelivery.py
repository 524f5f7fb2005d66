"""What an earlier run delivered: a job that runs again after success finds its files there, and that is success again.

Files count as delivered when they are exactly what would be written now.  The evidence may be of an earlier state of
the log, whose newest checkpoint moves on: it must be of the same request and patch, and verifies anew with the image.
"""

from collections.abc import Mapping
from pathlib import Path

from sealwright.client.assembly import Delivered, default_output, verify_written
from sealwright.client.files import FileSource, read_small, sidecar_path
from sealwright.client.portions import left_over
from sealwright.core import records
from sealwright.core.errors import SealwrightError
from sealwright.evidence.bundle import EVIDENCE_SUFFIX, MAX_EVIDENCE_BYTES, Evidence, TrustFile
from sealwright.formats.interface import Format


def delivered_before(
    evidence: Evidence, image: FileSource, output: Path | None, trust: TrustFile, formats: Mapping[str, Format]
) -> Delivered | None:
    """Return the files of an earlier delivery, verified; None when one is missing or is anything else."""
    output = output or default_output(image.path, evidence)
    beside = {sidecar.suffix: sidecar_path(output, sidecar.suffix) for sidecar in evidence.patch.sidecars}
    evidence_path = sidecar_path(output, EVIDENCE_SUFFIX)
    if not all(path.is_file() for path in (output, evidence_path, *beside.values())):
        return None
    try:
        data = read_small(evidence_path, max_bytes=MAX_EVIDENCE_BYTES, what="evidence")
        earlier = records.parse(Evidence, data, max_bytes=MAX_EVIDENCE_BYTES)
        same = (earlier.request.document, earlier.artifact, earlier.signatures, earlier.patch)
        if same != (evidence.request.document, evidence.artifact, evidence.signatures, evidence.patch):
            return None
        contents = {
            sidecar.suffix: read_small(beside[sidecar.suffix], max_bytes=len(sidecar.content), what="sidecar")
            for sidecar in evidence.patch.sidecars
        }
        with FileSource(output) as signed:
            verified = verify_written(data, signed, contents, trust, formats)
            notes = left_over(verified, signed, formats)
    except SealwrightError:
        return None
    return Delivered(
        image=output, evidence=evidence_path, sidecars=tuple(beside.values()), verified=verified, notes=notes
    )
