"""What the server remembers: documents as signed, requests and their state, signatures, policies, proposals.

It is memory, not authority: every row can be made up by who owns the server, and nothing signs because of a row.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sealwright.core import canonical, records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.service.ports import Attempt, Proposal, RequestRow, RequestState, StoredRequest
from sealwright.storage.group_commit import GroupCommit, Statement, connect

SCHEMA_VERSION = 1
# Rows of one request lie together: large ones by rowid, slots by the request's number.  Digests are random, and a table
# or index sorted by them costs a page of its own for each insert.
_SCHEMA = """
CREATE TABLE document (digest TEXT PRIMARY KEY, type TEXT NOT NULL, signed BLOB NOT NULL);
CREATE TABLE request (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, id TEXT NOT NULL UNIQUE, product TEXT NOT NULL,
    environment TEXT NOT NULL, release TEXT NOT NULL, requester TEXT NOT NULL, created INTEGER NOT NULL,
    expires INTEGER NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX request_by_state ON request (state, created);
CREATE INDEX request_by_product ON request (product, environment, created);
CREATE TABLE slot (
    request INTEGER NOT NULL REFERENCES request, position INTEGER NOT NULL, artifact TEXT NOT NULL,
    sha256 TEXT NOT NULL, key_profile TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (request, position)) WITHOUT ROWID;
CREATE INDEX slot_by_profile ON slot (key_profile, request);
CREATE INDEX slot_by_key ON slot (key, request);
CREATE INDEX slot_by_image ON slot (sha256, request);
CREATE TABLE message (
    request TEXT NOT NULL REFERENCES request (digest), position INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (request, position));
CREATE TABLE vote (
    request TEXT NOT NULL REFERENCES request (digest), digest TEXT NOT NULL, person TEXT NOT NULL,
    decision TEXT NOT NULL, PRIMARY KEY (request, digest)) WITHOUT ROWID;
CREATE TABLE attempt (
    intent_index INTEGER PRIMARY KEY, request TEXT NOT NULL REFERENCES request (digest), outcome TEXT,
    outcome_index INTEGER, votes TEXT NOT NULL);
CREATE TABLE signature (
    request TEXT NOT NULL REFERENCES request (digest), position INTEGER NOT NULL, intent_index INTEGER NOT NULL,
    value BLOB NOT NULL, PRIMARY KEY (request, position)) WITHOUT ROWID;
CREATE TABLE policy_section (
    policy TEXT NOT NULL, position INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (policy, position));
CREATE TABLE proposal (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, document BLOB NOT NULL, signatures TEXT NOT NULL,
    state TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE restriction (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, person TEXT NOT NULL, log_index INTEGER);
CREATE TABLE directory (person TEXT PRIMARY KEY, name TEXT NOT NULL, contact TEXT NOT NULL);
"""


class Documents:
    """The server's database in SQLite; writes share flushes, reads are microseconds."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigurationError(f"there is no database at {path}", setting="server.database")
        self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._mutex = threading.Lock()
        (version,) = self._reader.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}",
                setting="server.database",
                hint="use the version of Sealwright that wrote it, or a later one",
            )
        self._writer = GroupCommit(path)
        self._path = path

    @staticmethod
    def create(path: Path) -> None:
        """Make an empty database."""
        if path.exists():
            raise ConfigurationError(f"{path} exists", setting="server.database")
        connection = connect(path)
        path.chmod(0o600)
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        connection.close()

    def close(self) -> None:
        """Finish writing and close."""
        self._writer.close()
        self._reader.close()

    # -- requests

    def add_request(self, row: RequestRow, stored: StoredRequest) -> "Future[None]":
        """Keep a request with its votes and messages, all or nothing."""
        statements: list[Statement] = [
            _document(row.digest, "request", stored.request),
            (
                "INSERT INTO request VALUES (NULL,?,?,?,?,?,?,?,?,?,?)",
                (
                    row.digest,
                    row.id,
                    row.product,
                    row.environment,
                    row.release,
                    row.requester,
                    row.created,
                    row.expires,
                    row.state,
                    row.detail,
                ),
            ),
        ]
        statements += [
            (
                "INSERT INTO slot SELECT number,?,?,?,?,? FROM request WHERE digest=?",
                (i, s.artifact, s.sha256, s.key_profile, s.key, row.digest),
            )
            for i, s in enumerate(row.slots)
        ]
        statements += [
            ("INSERT INTO message VALUES (?,?,?)", (row.digest, i, m)) for i, m in enumerate(stored.messages)
        ]
        for digest, person, decision, vote in stored.votes:
            statements += _vote(row.digest, digest, person, decision, vote)
        return self._writer.submit(statements)

    def add_vote(self, request: str, digest: str, person: str, decision: str, vote: SignedDocument) -> "Future[None]":
        """Keep a vote; the same vote again is a conflict."""
        return self._writer.submit(_vote(request, digest, person, decision, vote))

    def set_state(self, request: str, state: RequestState, detail: str) -> "Future[None]":
        """Remember where a request stands, and why.  What is signed stays so: its signatures are out."""
        sql = "UPDATE request SET state=?, detail=? WHERE digest=? AND state<>?"
        return self._writer.submit([(sql, (state, detail, request, RequestState.SIGNED))])

    def row(self, request: str) -> RequestRow | None:
        """Return a request by digest or id."""
        found = self._all("SELECT * FROM request WHERE digest=? OR id=?", request, request)
        return _row(found[0]) if found else None

    def rows(
        self, *, states: Iterable[str] = (), product: str = "", image: str = "", limit: int = 100, before: int = 1 << 53
    ) -> list[RequestRow]:
        """Return requests, the newest first; ``image`` is the SHA-256 of one of their artifacts."""
        wanted = list(states)
        marks = ",".join("?" * len(wanted))
        where = f"state IN ({marks}) AND " if wanted else ""
        if product:
            where += "product=? AND "
            wanted.append(product)
        if image:
            where += "number IN (SELECT request FROM slot WHERE sha256=?) AND "
            wanted.append(image)
        sql = f"SELECT * FROM request WHERE {where}created<? ORDER BY created DESC, digest LIMIT ?"  # noqa: S608 - marks only
        return [_row(found) for found in self._all(sql, *wanted, before, limit)]

    def images(self, requests: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the names of the images of each request, in its order."""
        return self._each(
            "SELECT r.digest, s.artifact FROM slot s JOIN request r ON r.number = s.request"
            " WHERE r.digest IN ({}) GROUP BY r.digest, s.artifact ORDER BY min(s.position)",
            requests,
        )

    def voters(self, requests: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return who voted on each request, by id."""
        return self._each("SELECT DISTINCT request, person FROM vote WHERE request IN ({}) ORDER BY person", requests)

    def vetoed_by(self, requests: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return who vetoed each request, by id."""
        return self._each(
            "SELECT subject, person FROM restriction WHERE kind='veto' AND subject IN ({}) ORDER BY person", requests
        )

    def vetoes(self, request: str) -> tuple[SignedDocument, ...]:
        """Return the votes that rejected a request."""
        found = self._all(
            "SELECT d.signed FROM restriction r JOIN document d USING (digest)"
            " WHERE r.kind='veto' AND r.subject=? AND d.type='vote' ORDER BY r.log_index",
            request,
        )
        return tuple(_signed(blob) for (blob,) in found)

    def _each(self, sql: str, requests: Sequence[str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = dict.fromkeys(requests, ())
        for digest, value in self._all(sql.format(",".join("?" * len(requests))), *requests):
            found[digest] += (value,)
        return found

    def stored(self, request: str) -> StoredRequest:
        """Return what was signed and sent for a request; ``RefusedError`` when it is unknown."""
        votes = self._all(
            "SELECT v.digest, v.person, v.decision, d.signed FROM vote v JOIN document d USING (digest)"
            " WHERE v.request=?",
            request,
        )
        messages = self._all("SELECT content FROM message WHERE request=? ORDER BY position", request)
        return StoredRequest(
            request=self.document(request),
            votes=tuple((digest, person, decision, _signed(blob)) for digest, person, decision, blob in votes),
            messages=tuple(content for (content,) in messages),
        )

    def document(self, digest: str) -> SignedDocument:
        """Return a signed document; ``RefusedError`` (``not-found``) when it is unknown."""
        found = self._all("SELECT signed FROM document WHERE digest=?", digest)
        if not found:
            raise RefusedError(f"no document {digest} is kept here", code=Code.NOT_FOUND)
        return _signed(found[0][0])

    def requests_by_key(self, name: str, since: int) -> list[str]:
        """Return digests of requests with a slot of this key profile, or key fingerprint, created since then."""
        sql = (
            "SELECT DISTINCT r.digest, r.created FROM slot s JOIN request r ON r.number = s.request"
            " WHERE (s.key_profile=? OR s.key=?) AND r.created>=? ORDER BY r.created"
        )
        return [digest for digest, _ in self._all(sql, name, name, since)]

    # -- attempts and signatures

    def add_outcomes(self, outcomes: Sequence[tuple[Attempt, SignedDocument]]) -> "Future[None]":
        """Keep outcome documents before they are logged, and which intent and votes they answer."""
        statements = [_document(str(attempt.outcome), "outcome", signed) for attempt, signed in outcomes]
        statements += [
            ("INSERT INTO attempt VALUES (?,?,?,NULL,?)", (a.intent_index, a.request, a.outcome, ",".join(a.votes)))
            for a, _ in outcomes
        ]
        return self._writer.submit(statements)

    def finish(self, finished: Sequence[tuple[str, int, int, Sequence[bytes], RequestState, str]]) -> "Future[None]":
        """Keep released signatures: request, intent index, outcome index, signatures, state, detail."""
        statements: list[Statement] = []
        for request, intent_index, outcome_index, signatures, state, detail in finished:
            statements.append(
                ("UPDATE attempt SET outcome_index=? WHERE intent_index=?", (outcome_index, intent_index))
            )
            statements += [
                ("INSERT OR REPLACE INTO signature VALUES (?,?,?,?)", (request, i, intent_index, value))
                for i, value in enumerate(signatures)
                if value
            ]
            statements.append(("UPDATE request SET state=?, detail=? WHERE digest=?", (state, detail, request)))
        return self._writer.submit(statements)

    def signatures(self, request: str) -> tuple[int, tuple[bytes, ...]] | None:
        """Return intent index and signatures of a signed request, or None."""
        found = self._all("SELECT intent_index, value FROM signature WHERE request=? ORDER BY position", request)
        return (found[0][0], tuple(value for _, value in found)) if found else None

    def attempt(self, intent_index: int) -> Attempt | None:
        """Return what is known of one intent."""
        found = self._all("SELECT * FROM attempt WHERE intent_index=?", intent_index)
        if not found:
            return None
        index, request, outcome, outcome_index, votes = found[0]
        return Attempt(
            intent_index=index,
            request=request,
            votes=tuple(filter(None, votes.split(","))),
            outcome=outcome,
            outcome_index=outcome_index,
        )

    # -- policies, proposals, restrictions, names

    def add_sections(self, policy: str, sections: Sequence[bytes]) -> "Future[None]":
        """Keep the sections of a policy before its head is logged."""
        return self._writer.submit(
            [
                ("INSERT OR IGNORE INTO policy_section VALUES (?,?,?)", (policy, i, content))
                for i, content in enumerate(sections)
            ]
        )

    def sections(self, policy: str) -> tuple[bytes, ...]:
        """Return the sections of a policy by its digest; empty when unknown."""
        found = self._all("SELECT content FROM policy_section WHERE policy=? ORDER BY position", policy)
        return tuple(content for (content,) in found)

    def put_proposal(self, proposal: Proposal) -> "Future[None]":
        """Keep a root or policy that collects signatures; again with more signatures or another state."""
        signatures = canonical.encode(records.dump(proposal.signed.signatures)).decode()
        return self._writer.submit(
            [
                (
                    """INSERT INTO proposal VALUES (?,?,?,?,?,?) ON CONFLICT (digest) DO UPDATE
                    SET signatures = excluded.signatures, state = excluded.state""",
                    (
                        proposal.digest,
                        proposal.kind,
                        proposal.signed.document,
                        signatures,
                        proposal.state,
                        proposal.created,
                    ),
                )
            ]
        )

    def proposals(self) -> list[Proposal]:
        """Return all proposals, the newest first."""
        found = self._all("SELECT * FROM proposal ORDER BY created DESC, rowid DESC")  # two can come in one second
        return [
            Proposal(
                digest=digest,
                kind=kind,
                signed=records.load(
                    SignedDocument,
                    {"document": canonical.to_base64(document), "signatures": json.loads(signatures)},
                ),
                state=state,
                created=created,
            )
            for digest, kind, document, signatures, state, created in found
        ]

    def add_restriction(
        self, digest: str, kind: str, subject: str, person: str, signed: SignedDocument, document_type: str
    ) -> "Future[None]":
        """Keep a signed restriction (or rejecting vote) before its entry is logged."""
        return self._writer.submit(
            [
                ("INSERT OR IGNORE INTO document VALUES (?,?,?)", (digest, document_type, records.serialise(signed))),
                ("INSERT OR IGNORE INTO restriction VALUES (?,?,?,?,NULL)", (digest, kind, subject, person)),
            ]
        )

    def restriction_logged(self, digest: str, index: int) -> "Future[None]":
        """Remember that a restriction's entry is in the log."""
        return self._writer.submit([("UPDATE restriction SET log_index=? WHERE digest=?", (index, digest))])

    def unlogged_restrictions(self) -> list[tuple[str, str, str, str]]:
        """Return restrictions accepted but not known to be logged: digest, kind, subject, person."""
        return [
            (digest, kind, subject, person)
            for digest, kind, subject, person in self._all(
                "SELECT digest, kind, subject, person FROM restriction WHERE log_index IS NULL"
            )
        ]

    def set_name(self, person: str, name: str, contact: str) -> "Future[None]":
        """Keep the name behind a person id; it stands nowhere else and can be erased."""
        return self._writer.submit([("INSERT OR REPLACE INTO directory VALUES (?,?,?)", (person, name, contact))])

    def erase_name(self, person: str) -> "Future[None]":
        """Erase the name behind a person id."""
        return self._writer.submit([("DELETE FROM directory WHERE person=?", (person,))])

    def names(self) -> dict[str, tuple[str, str]]:
        """Return names and contacts by person id."""
        return {person: (name, contact) for person, name, contact in self._all("SELECT * FROM directory")}

    def _all(self, sql: str, *parameters: Any) -> list[Any]:
        with self._mutex:
            return self._reader.execute(sql, parameters).fetchall()


def _document(digest: str, document_type: str, signed: SignedDocument) -> Statement:
    return "INSERT INTO document VALUES (?,?,?)", (digest, document_type, records.serialise(signed))


def _vote(request: str, digest: str, person: str, decision: str, vote: SignedDocument) -> list[Statement]:
    return [
        _document(digest, "vote", vote),
        ("INSERT INTO vote VALUES (?,?,?,?)", (request, digest, person, decision)),
    ]


def _signed(blob: bytes) -> SignedDocument:
    return records.parse(SignedDocument, blob, max_bytes=4 << 20)


def _row(found: Sequence[Any]) -> RequestRow:
    _, digest, request_id, product, environment, release, requester, created, expires, state, detail = found
    return RequestRow(
        digest=digest,
        id=request_id,
        product=product,
        environment=environment,
        release=release,
        requester=requester,
        created=created,
        expires=expires,
        state=RequestState(state),
        detail=detail,
        slots=(),
    )
