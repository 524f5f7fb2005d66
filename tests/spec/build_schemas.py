"""JSON schemas (draft 2020-12) of every document, section, log entry, file and frame, from the records' annotations.

Run ``python -m tests.spec.build_schemas``; ``tests/test_spec.py`` makes them anew and expects no difference.
"""

import json
from typing import Any

from tests.conftest import PROJECT

from sealwright.core.schemas import schema_of
from sealwright.evidence.bundle import Dossier, Evidence, TrustFile
from sealwright.policy import documents, entries, minutes
from sealwright.signer import protocol

FOLDER = PROJECT / "docs" / "spec" / "schemas"
RECORDS: dict[str, type[Any]] = {
    "root": documents.Root,
    "policy": documents.Policy,
    **documents.SECTION_KINDS,
    "request": documents.Request,
    "report": documents.Report,
    "vote": documents.Vote,
    "restriction": documents.Restriction,
    "session": documents.Session,
    "outcome": documents.Outcome,
    "minutes": minutes.Minutes,
    "entry-granting": entries.GrantingEntry,
    "entry-restriction": entries.RestrictionEntry,
    "entry-intent": entries.IntentEntry,
    "entry-outcome": entries.OutcomeEntry,
    "entry-timestamped": entries.TimestampedEntry,
    "evidence": Evidence,
    "dossier": Dossier,
    "trust": TrustFile,
    "round": protocol.Round,
    "round-result": protocol.RoundResult,
}


def build() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    return {f"{name}.schema.json": _text(schema_of(record)) for name, record in RECORDS.items()}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the schema files."""
    for name, text in build().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
