"""What every input must lead to: a value or one of our errors, and nothing accepted that nobody signed.

A target takes bytes and raises ``Finding``, or whatever exception a parser let through.
"""

import hashlib
import json
import zlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tests.formats.throwaway import signer

from sealwright.core import records
from sealwright.core.errors import SealwrightError
from sealwright.core.images import ByteSource, MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.patches import Patch
from sealwright.formats import targets
from sealwright.formats.interface import Format, HasContent, Inspection, Trust

CORPUS = Path(__file__).parent / "corpus"
KNOWN = CORPUS / "known.json"
"""What the seeds were signed with and what was signed: public keys, sidecars, digests of the covered bytes."""

Run = Callable[[bytes], None]
Repair = Callable[[bytes], bytes]


class Finding(Exception):  # noqa: N818  (it is what a run looks for)
    """A parser did what it must never do."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser under test."""

    run: Run
    repair: Repair | None = None
    """Puts checksums right again after a mutation: behind them lies most of the parser."""
    is_json: bool = False
    """Whether the input is canonical JSON, mutated as such."""
    inputs: Callable[[], Mapping[str, bytes]] = dict
    """Inputs that are made at each run, beside those of the corpus."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a verification may accept."""

    keys: tuple[PublicKey, ...]
    sidecars: Mapping[str, bytes]
    contents: frozenset[str]

    @property
    def trust(self) -> Trust:
        return Trust(keys=self.keys)


@cache
def known(name: str) -> Known:
    """Return what stands in ``known.json`` of a target."""
    said = json.loads(KNOWN.read_text())[name]
    return Known(
        keys=tuple(PublicKey(b64decode(key)) for key in said["keys"]),
        sidecars={suffix: b64decode(content) for suffix, content in said["sidecars"].items()},
        contents=frozenset(said["contents"]),
    )


def refused(call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns; None where it refuses with an error of ours."""
    try:
        return call()
    except SealwrightError:
        return None


@dataclass(frozen=True, kw_only=True)
class Signing:
    """A kind of throw-away key, and options, to sign a mutated image with."""

    algorithm: Algorithm
    options: Mapping[str, Any] = field(default_factory=dict)
    verifies: bool = True
    """Whether what was signed must verify: not where other people's signatures stay in it."""


class FormatTarget:
    """A format: every function of its interface on one image."""

    one_in = 1
    """So many inputs share one signing of each kind: signing takes far longer than reading."""

    def __init__(
        self,
        module: Format,
        *signings: Signing,
        taken: Callable[[bytes], bytes] | None = None,
        by_parts: bool = False,
    ) -> None:
        """``taken`` returns what a device takes of an image, without our parser.

        ``by_parts``: covered parts may be left out of an image, and what is there must be as it was.
        """
        self.module, self.signings, self.taken, self.by_parts = module, signings, taken, by_parts

    @cached_property
    def known(self) -> Known:
        return known(self.module.name)

    def __call__(self, data: bytes) -> None:
        image = MemorySource(data)
        self.module.matches(image)
        if (found := refused(lambda: self.module.inspect(image))) is not None:
            _check_inspection(found, image)
        elif isinstance(self.module, HasContent):
            return  # verify would read the same signature beside it again, and then refuse the image as inspect did
        if refused(lambda: self.module.verify(image, self.known.trust, self.known.sidecars)) is not None:
            self.check_accepted(data)
        for number, signing in enumerate(self.signings, zlib.crc32(data)):
            if number % self.one_in == 0:
                self._sign(image, signing)

    def check_accepted(self, data: bytes) -> None:
        """Raise ``Finding`` unless what a signature covers was signed with one of the seeds."""
        digests = refused(lambda: self.covered(data))
        if digests is None:
            raise Finding("verify accepts what inspect refuses")
        for digest in digests:
            if digest not in self.known.contents:
                raise Finding("verify accepts what nobody signed")

    def covered(self, data: bytes) -> list[str]:
        """Digests of what a signature covers: as the format says it, and as a device takes it."""
        image = MemorySource(data)
        if isinstance(self.module, HasContent):
            parts = [*self.module.content(image, {})]
        else:
            parts = [data[part.start : part.stop] for part in self.module.inspect(image).covered]
        found = parts if self.by_parts else [b"".join(parts)]
        found += [] if self.taken is None else [b"taken" + self.taken(data)]
        return [hashlib.sha256(part).hexdigest() for part in found]

    def _sign(self, image: MemorySource, signing: Signing) -> None:
        by = signer(signing.algorithm)
        keys = [by.signing_key()]
        prepared = refused(lambda: self.module.prepare(image, keys, signing.options, targets.ANY))
        if prepared is None:
            return
        again = self.module.prepare(image, keys, prepared.options, targets.ANY)
        if (again.slots, again.options) != (prepared.slots, prepared.options):
            raise Finding("prepare with the frozen options lays out something else")
        patch = refused(lambda: prepared.assemble(by.sign_all(prepared)))
        if patch is None:
            return
        if records.parse(Patch, records.serialise(patch)) != patch:
            raise Finding("the patch is another one when it is read again")
        signed = b"".join(patch.apply(image))
        if b"".join(patch.inverse().apply(MemorySource(signed))) != image.data:
            raise Finding("the inverse patch does not give the image back")
        sidecars = {sidecar.suffix: sidecar.content for sidecar in patch.sidecars}
        if signing.verifies:
            self.module.verify(MemorySource(signed), by.trust, sidecars)
        else:
            refused(lambda: self.module.verify(MemorySource(signed), by.trust, sidecars))


def _check_inspection(found: Inspection, image: ByteSource) -> None:
    ranges = [*found.covered, *(part for part, _ in found.uncovered)]
    if any(not 0 <= part.start <= part.stop <= image.size for part in ranges):
        raise Finding(f"inspect names bytes outside the image: {ranges}")
    if not all(isinstance(text, str) for pair in found.facts.items() for text in pair):
        raise Finding("inspect says something that is no text")
