"""Takes a signed request home: its dossier, fetched and matched with one's own files, becomes signed images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sealwright.client.api import Api
from sealwright.client.assembly import Delivered, assemble, default_output, deliver
from sealwright.client.compose import PreparedArtifact
from sealwright.client.files import FileSource, sidecar_path
from sealwright.client.images import digests
from sealwright.client.outputs import refuse_existing
from sealwright.client.settings import Settings
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, ConfigurationError, VerificationError
from sealwright.evidence.bundle import EVIDENCE_SUFFIX, Dossier
from sealwright.formats import FORMATS
from sealwright.policy.documents import Request


def match_files(request: Request, sources: Sequence[FileSource]) -> dict[str, FileSource]:
    """Say which file is which artifact: by name, by digest, and the last one by being the last."""
    matched: dict[str, FileSource] = {}
    others = []
    names = {artifact.name for artifact in request.artifacts}
    for source in sources:
        if source.path.name in matched:
            raise ConfigurationError(f"two files are named {source.path.name}", setting="IMAGE")
        if source.path.name in names:
            matched[source.path.name] = source
        else:
            others.append(source)
    left = {a.name: a.sha256 for a in request.artifacts if a.name not in matched}
    if len(others) == len(left) == 1:
        return {**matched, next(iter(left)): others[0]}
    for source in others:
        found = digests(source).sha256
        name = next((name for name, sha256 in left.items() if sha256 == found), None)
        if name is None:
            raise VerificationError(
                f"{source.path} (SHA-256 {found}) is no image of request {request.id}",
                code=Code.IMAGE_MISMATCH,
                hint=f"its images: {', '.join(sorted(names))}",
            )
        del left[name]
        matched[name] = source
    return matched


def fetch_dossier(settings: Settings, api: Api, digest: str) -> Dossier:
    """Return the dossier of the request with this digest, and of no other."""
    dossier = api.get(Dossier, f"/v1/requests/{digest}/dossier")
    found = document_digest("request", settings.trust.instance, dossier.request.document)
    if found != digest:
        raise VerificationError(
            "the server sent the dossier of another request", expected=digest, got=found, code=Code.EVIDENCE_MISMATCH
        )
    return dossier


def deliver_all(
    settings: Settings,
    dossier: Dossier,
    sources: Mapping[str, FileSource],
    output: Path | None,
    *,
    replace: bool = False,
    prepared: Mapping[str, PreparedArtifact] | None = None,
) -> list[Delivered]:
    """Write and verify the signed form of each file, by artifact name, with its sidecars and evidence."""
    delivered = []
    for name, source in sources.items():
        evidence = assemble(dossier, name, source, FORMATS, prepared=(prepared or {}).get(name))
        target = output
        if output is not None and is_folder(output, len(sources)):
            output.mkdir(parents=True, exist_ok=True)
            target = output / default_output(source.path, evidence).name
        delivered.append(deliver(evidence, source, target, settings.trust, FORMATS, replace=replace))
    return delivered


def is_folder(output: Path, count: int) -> bool:
    """Whether ``-o`` names a folder: it is one, or several images go there."""
    return count > 1 or output.is_dir()


def check_output(output: Path | None, count: int, *, replace: bool) -> None:
    """Refuse an output that cannot be written before anybody has waited for it."""
    if output is None:
        return
    if not is_folder(output, count):
        if not output.parent.is_dir():
            raise ConfigurationError(f"there is no folder {output.parent}", setting="output")
        if not replace:
            refuse_existing(output)
            refuse_existing(sidecar_path(output, EVIDENCE_SUFFIX))
    elif output.exists() and not output.is_dir():
        raise ConfigurationError(
            f"{output} is a file, {count} images need a folder", setting="output", hint="name a folder with -o"
        )
