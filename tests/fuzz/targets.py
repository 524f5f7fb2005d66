"""Every parser under test, by name, in the order of a full run."""

from tests.fuzz import documents, firmware
from tests.fuzz.harness import Target

TARGETS: dict[str, Target] = {**firmware.TARGETS, **documents.TARGETS}
