"""Takes a signed request home: its dossier, fetched and matched with one's own files, becomes signed images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from sealwright.client.api import Api
from sealwright.client.assembly import Delivered, assemble, default_output, deliver, signed_name
from sealwright.client.compose import PreparedArtifact
from sealwright.client.files import FileSource, sidecar_path
from sealwright.client.images import digests
from sealwright.client.outputs import refuse_existing
from sealwright.client.redelivery import delivered_before
from sealwright.client.settings import Settings
from sealwright.core.digests import document_digest
from sealwright.core.errors import ArgumentError, Code, ConfigurationError, VerificationError
from sealwright.evidence.bundle import EVIDENCE_SUFFIX, Dossier
from sealwright.formats import FORMATS, raw
from sealwright.formats.raw_outputs import SUFFIXES
from sealwright.policy.documents import Artifact, Request

SIGNED_BESIDE = frozenset({"raw", "intel-hex", "s-record", "uf2"})
"""Formats whose images stay as they are, with the signature in a file beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where signed files go: into a folder, to one name, or, without a path, beside each image."""

    path: Path | None = None
    is_folder: bool = False

    def __str__(self) -> str:
        return "" if self.path is None else f"{self.path}{'/' if self.is_folder else ''}"


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
    place: Place,
    *,
    replace: bool = False,
    prepared: Mapping[str, PreparedArtifact] | None = None,
) -> list[Delivered]:
    """Write and verify the signed form of each file, by artifact name, with its sidecars and evidence."""
    delivered = []
    for name, source in sources.items():
        evidence = assemble(dossier, name, source, FORMATS, prepared=(prepared or {}).get(name))
        target = place.path
        if target is not None and place.is_folder:
            _make_folder(target)
            target /= default_output(source.path, evidence).name
        if not replace and (before := delivered_before(evidence, source, target, settings.trust, FORMATS)):
            delivered.append(before)
            continue
        delivered.append(deliver(evidence, source, target, settings.trust, FORMATS, replace=replace))
    return delivered


def place_of(text: str | None, count: int) -> Place:
    """Read ``-o`` for ``count`` images: a folder if it is one, if it ends with a slash, or if several go there."""
    if text is None:
        return Place()
    path = Path(text)
    return Place(path=path, is_folder=count > 1 or text.endswith("/") or path.is_dir())


def check_place(place: Place, count: int, *, replace: bool) -> None:
    """Refuse a place that cannot be written to before anybody is asked to approve."""
    path = place.path
    if path is None:
        return
    if not place.is_folder:
        if taken := next((suffix for suffix in (*SUFFIXES, EVIDENCE_SUFFIX) if path.name.endswith(suffix)), None):
            raise ArgumentError(
                f"{path.name} is the name of a signature or evidence file, -o names the image",
                setting="output",
                hint=f"-o {path.name.removesuffix(taken) or 'IMAGE'}: what lies beside it is named after it",
            )
        if not path.parent.is_dir():
            raise ConfigurationError(f"there is no folder {path.parent}", setting="output")
        _check_writable(path.parent)
        if not replace:
            refuse_existing(path)
            refuse_existing(sidecar_path(path, EVIDENCE_SUFFIX))
        return
    if path.exists() and not path.is_dir():
        what = f"{count} images need a folder" if count > 1 else "a name with a slash behind it means a folder"
        raise ConfigurationError(f"{path} is a file, {what}", setting="output", hint="name a folder with -o")
    _check_writable(next(folder for folder in (path, *path.absolute().parents) if folder.exists()))


def check_names(place: Place, images: Iterable[tuple[Path, Artifact]], *, replace: bool) -> None:
    """Refuse output names that are taken before anybody is asked to approve."""
    for image, artifact in images:
        stays = artifact.image_format in SIGNED_BESIDE
        name = place.path or image.parent / (image.name if stays else signed_name(image))
        if place.path and place.is_folder:
            name = place.path / (image.name if stays else signed_name(image))
        if place.path is None:
            _check_writable(image.parent)
        if replace:
            continue
        if name != image:
            refuse_existing(name)
        is_cms = stays and artifact.options.get("output") in (None, "cms")
        for suffix in (EVIDENCE_SUFFIX, *((raw.SUFFIX,) if is_cms else ())):
            refuse_existing(sidecar_path(name, suffix))


def _check_writable(folder: Path) -> None:
    """Make a file there: permissions alone do not tell, neither to root nor of /proc or a full or read-only disk."""
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise _unwritable(folder, e) from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _unwritable(folder, e) from None


def _unwritable(folder: Path, e: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"nothing can be written into {folder.absolute()}: {e.strerror}",
        setting="output",
        hint="name another place with -o",
    )
