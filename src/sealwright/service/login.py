"""Log in with the key one votes with: sign a challenge, get a short session.

The challenge is a document under the namespace for logins only, so that no signature over it is ever a vote.
"""

import hashlib
import hmac
import threading
from collections import OrderedDict
from dataclasses import dataclass

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.policy.signatures import Namespace, fingerprint, verify_envelope
from sealwright.service.ledger import Ledger
from sealwright.service.messages import NOBODY, Challenge
from sealwright.service.ports import Clock, Entropy
from sealwright.service.restrictions import authenticators_of, owners_of

CHALLENGE_SECONDS = 60
SESSION_SECONDS = 3600
RANDOM_BYTES = 16  # of the nonce; as many bytes of HMAC-SHA256 follow
MAX_SESSIONS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a call."""

    person: str
    authenticator: str


class Logins:
    """Challenges and sessions, in memory: a restart logs everybody out.  Any thread may call anything."""

    def __init__(self, *, ledger: Ledger, clock: Clock, entropy: Entropy) -> None:
        self._ledger, self._clock, self._entropy = ledger, clock, entropy
        self._mutex = threading.Lock()
        self._key = entropy.token(32)
        self._used: OrderedDict[str, int] = OrderedDict()
        """Nonces that logged somebody in, until their challenges are too old."""
        self._sessions: OrderedDict[bytes, tuple[Caller, int, int]] = OrderedDict()
        self._owners: tuple[int, dict[str, str]] = (-1, {})

    def challenge(self, authenticator: str) -> bytes:
        """Return a challenge for whoever holds the key with this fingerprint; for ``nobody`` where none does."""
        random = self._entropy.token(RANDOM_BYTES).hex()
        return self._challenge(random, self._owner(authenticator), self._clock.now())

    def _challenge(self, random: str, person: str, time: int) -> bytes:
        """Return the one challenge of these values.  It proves itself: strangers who ask for many crowd nobody out."""
        text = f"{random} {person} {time}"
        proof = hmac.digest(self._key, text.encode(), "sha256")[:RANDOM_BYTES].hex()
        return records.serialise(
            Challenge(type="login", format=1, nonce=random + proof, log=self._ledger.origin, person=person, time=time)
        )

    def _owner(self, authenticator: str) -> str:
        if self._owners[0] != self._ledger.epoch:
            self._owners = self._ledger.epoch, owners_of(self._ledger)
        return self._owners[1].get(authenticator, NOBODY)

    def log_in(self, challenge: bytes, envelope: Envelope) -> str:
        """Return a session token for a signed challenge; each challenge works once."""
        now = self._clock.now()
        given = records.parse(Challenge, challenge)
        person, expires = given.person, given.time + CHALLENGE_SECONDS
        ours = self._challenge(given.nonce[: 2 * RANDOM_BYTES], person, given.time)
        if not hmac.compare_digest(challenge, ours) or now >= expires:
            raise _refused("the challenge is unknown, used or too old")
        digest = document_digest("login", self._ledger.instance, challenge)
        try:
            if envelope.signer != person:
                raise VerificationError("signed by somebody else")
            verify_envelope(envelope, digest, authenticators_of(self._ledger, person), Namespace.LOGIN)
        except (VerificationError, FormatError):
            # Which of them it was is nobody's business before they are known.
            raise _refused("the challenge is not signed by an authenticator of that person") from None
        self._use(given.nonce, expires, now)
        token = self._entropy.token(32).hex()
        caller = Caller(person=person, authenticator=envelope.authenticator)
        with self._mutex:
            self._sessions[_name(token)] = caller, now + SESSION_SECONDS, self._ledger.epoch
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return token

    def _use(self, nonce: str, expires: int, now: int) -> None:
        with self._mutex:
            while self._used and next(iter(self._used.values())) <= now:
                self._used.popitem(last=False)
            if nonce in self._used:
                raise _refused("the challenge is unknown, used or too old")
            self._used[nonce] = expires

    def caller(self, token: str) -> Caller:
        """Return who holds a session; ``RefusedError`` (``not-authenticated``) when it is over."""
        name = _name(token)
        with self._mutex:
            caller, expires, epoch = self._sessions.get(name, (None, 0, 0))
        if caller is None or self._clock.now() >= expires:
            raise _refused("no session, or it is over")
        if epoch != self._ledger.epoch:
            # Somebody may have been revoked since: look again, once for each change.
            if not _still_valid(self._ledger, caller):
                raise _refused(f"{caller.person} or the key of this session was revoked")
            with self._mutex:
                self._sessions[name] = caller, expires, self._ledger.epoch
        return caller


def _still_valid(ledger: Ledger, caller: Caller) -> bool:
    return caller.authenticator in {fingerprint(a) for a in authenticators_of(ledger, caller.person)}


def _name(token: str) -> bytes:
    # Sessions are found by the hash of their token: a look-up leaks nothing about a token by its timing.
    return hashlib.sha256(token.encode()).digest()


def _refused(message: str) -> RefusedError:
    return RefusedError(message, code=Code.NOT_AUTHENTICATED, hint="log in again with `sealwright connect`")
