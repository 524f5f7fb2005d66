"""Makes ``CHANGELOG.md`` from the notes in ``changelog.d``: a folder a version, a file a note."""
# ruff: noqa: INP001  # run as a script

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NOTES = PROJECT / "changelog.d"
PAGE = PROJECT / "CHANGELOG.md"
KINDS = ("security", "added", "changed", "fixed", "removed")


def build() -> str:
    """Return the text of the changelog, the newest version first; ``ValueError`` names a note without a kind."""
    lines = ["# Changelog", "", "Made from [changelog.d](changelog.d/README.md) by `python scripts/changelog.py`."]
    for folder in sorted((path for path in NOTES.iterdir() if path.is_dir()), key=_order, reverse=True):
        lines += ["", f"## {folder.name}"]
        notes = [_read(path) for path in sorted(folder.glob("*.md"))]
        for kind in KINDS:
            texts = [text for found, text in notes if found == kind]
            if texts:
                lines += ["", f"### {kind}", "", *(f"- {text}" for text in texts)]
    return "\n".join(lines) + "\n"


def _order(folder: Path) -> tuple[int, ...]:
    return (1 << 31,) if folder.name == "next" else tuple(map(int, folder.name.split(".")))


def _read(path: Path) -> tuple[str, str]:
    found = re.fullmatch(rf"({'|'.join(KINDS)}): (\S.*)", path.read_text().strip(), re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name} does not begin with one of {KINDS} and a colon")
    return found[1], " ".join(found[2].split())


if __name__ == "__main__":
    PAGE.write_text(build())
