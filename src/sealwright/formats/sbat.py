"""SBAT: generations of boot loaders in a program, and the lists that revoke old ones (SbatLevel).

Reference: shim, SBAT.md ("SBAT Variable content", "Revocations"); shim 15.8, ``load_revocations_file`` and
``include/ssp.h`` for the sections of revocation files.
"""

REVOCATIONS = {".sbata": "SBAT revocations, automatic", ".sbatl": "SBAT revocations, latest"}
"""Sections of a revocation file; shim writes one of them into the variable SbatLevel."""
MAX_BYTES = 4096
MAX_LINES = 64


def matches(head: bytes) -> bool:
    """Whether the bytes begin as an SbatLevel does: the format's own generation, then a date."""
    parts = head[:32].split(b"\n")[0].split(b",")
    return parts[0] == b"sbat" and len(parts) >= 3 and parts[1].isdigit() and parts[2][:10].isdigit()


def facts(data: bytes) -> dict[str, str]:
    """Say line by line what an SbatLevel revokes."""
    lines = text_lines(data)
    date = lines[0].split(",")[2] if lines and lines[0].count(",") >= 2 else ""
    found = {"Date": date} if date else {}
    for line in lines[1:MAX_LINES]:
        component, _, generation = line.partition(",")
        found[f"Revokes {component}"] = f"generations before {generation.split(',')[0]}"
    if len(lines) > MAX_LINES:
        found["And"] = f"{len(lines) - MAX_LINES} more"
    return found


def text_lines(data: bytes) -> list[str]:
    """Return the lines of a section or variable, what cannot be shown replaced."""
    lines = data[:MAX_BYTES].rstrip(b"\0").decode("ascii", "replace").splitlines()
    return ["".join(c if c.isprintable() else "?" for c in line) for line in lines]
