"""How the options that an image is signed with are shown: in a request, in a check, and once it is verified."""

from datetime import UTC, datetime

from sealwright.policy.authorise import TIME_OPTIONS
from sealwright.policy.documents import Artifact


def option_rows(artifact: Artifact) -> list[tuple[str, str]]:
    """Return the options that an image is signed with."""
    return [(f"option {name}", _spell_option(name, value)) for name, value in sorted(artifact.options.items())]


def _spell_option(name: str, value: object) -> str:
    if name in TIME_OPTIONS and isinstance(value, int):
        try:
            return f"{value} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        except (ValueError, OverflowError, OSError):
            pass  # whoever wrote it wrote nonsense: shown as it is
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
