"""How far the signatures of a request are that has its quorum, by what the server knows of the signer's work.

A request is signed in one round as a whole, and a round's signatures come back together: there is nothing between none
and all of them to be seen from here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """In the queue, in the signer's round, or made and not out yet."""

    signatures: int
    """How many it asks for."""
    before: int = 0
    """So many are made before them."""
    since: int | None = None
    """When the signer was asked for them; None in the queue."""
    in_round: int = 0
    """How many are made in that round, with those of others."""
    is_made: bool = False

    def __str__(self) -> str:
        """Spell it; empty where it is next."""
        own, verb = ("its signature", "is") if self.signatures == 1 else (f"its {self.signatures} signatures", "are")
        if self.is_made:
            return f"{own} {verb} made, to leave when that is in the log"
        if self.since is not None:
            begun = datetime.fromtimestamp(self.since, UTC)
            return f"{own} {verb} being made since {begun:%H:%M:%S} UTC, in a round of {self.in_round}"
        return f"{self.before} to be made before {own}" if self.before else ""
