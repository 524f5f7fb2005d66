"""How ``inspect`` spells what signature files beside an image say of themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sealwright.cli.output import iso, utc
from sealwright.core.errors import FormatError
from sealwright.formats.signature_files import SignatureFile

Beside = Sequence[tuple[Path, SignatureFile | FormatError]]
MAX_TIME = 253402300799
"""The last second of the year 9999: what is later is shown as a number."""


def spell_signature_file(found: SignatureFile | FormatError) -> str:
    """Spell one in a line."""
    if isinstance(found, FormatError):
        return f"cannot be read: {found.message}"
    time = f", at {_time(found.signing_time)}" if found.signing_time is not None else ""
    fits = "; does not match this file" if found.fits is False else ""
    return f"{found.algorithm} by {found.signer}{time}, over {found.covers}{fits}"


def signature_file_json(name: str, found: SignatureFile | FormatError) -> dict[str, Any]:
    """Return the same for programs; ``fits`` is null where only the signature could tell."""
    if isinstance(found, FormatError):
        return {"name": name, "error": found.message}
    time = found.signing_time
    return {
        "name": name,
        "algorithm": found.algorithm,
        "signer": found.signer,
        "signing_time": iso(time) if time is not None and 0 <= time <= MAX_TIME else time,
        "covers": found.covers,
        "fits": found.fits,
    }


def _time(seconds: int) -> str:
    return utc(seconds) if 0 <= seconds <= MAX_TIME else str(seconds)
