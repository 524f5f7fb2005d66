"""The server's fold of its own log: it never differs from what the log holds, whatever failed in between."""

import os

import pytest
from tests.simulators.live import Live

from sealwright.core import records
from sealwright.core.errors import UnavailableError
from sealwright.policy.documents import RestrictionKind
from sealwright.policy.entries import RestrictionEntry
from sealwright.service.ledger import Ledger
from sealwright.storage.documents import Documents
from sealwright.storage.log import LogStore
from sealwright.wiring.private_keys import read_note_signer


@pytest.fixture
def ledger(tmp_path):
    configuration = Live(tmp_path).make().configuration
    signer = read_note_signer(configuration)
    documents = Documents(configuration.documents_database)
    with LogStore(configuration.log_database, signer=signer, guard_directory=configuration.guard) as log:
        yield Ledger(instance=configuration.instance, log=log, documents=documents)
    documents.close()


def veto(subject: str) -> RestrictionEntry:
    return RestrictionEntry(
        entry="restriction", format=1, kind=RestrictionKind.VETO, subject=subject, person="ada", document="ab" * 32
    )


def test_an_entry_that_was_durable_although_its_append_failed_counts(ledger, monkeypatch):
    """The disk fills up between the commit and the guard: the caller hears of a failure, the log has the entry."""
    real = os.pwrite

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UnavailableError, match="cannot be written"):
        ledger.append([veto("11" * 32)])
    monkeypatch.setattr(os, "pwrite", real)
    index = ledger.append([veto("22" * 32)])
    assert index == 2
    assert ledger.state.size == ledger.log.head()[0].size == 3
    found = ledger.state.restrictions
    assert found.find(RestrictionKind.VETO, "11" * 32) == 1
    assert found.find(RestrictionKind.VETO, "22" * 32) == 2
    assert ledger.log.entries(1, 3) == [records.serialise(veto("11" * 32)), records.serialise(veto("22" * 32))]


def test_a_ledger_opened_anew_is_where_the_old_one_was(ledger):
    ledger.append([veto("11" * 32)])
    again = Ledger(instance=ledger.instance, log=ledger.log, documents=ledger._documents)
    assert again.state.size == ledger.state.size
    assert again.epoch == ledger.epoch
    assert again.roots == ledger.roots == [0]
    assert again.state.restrictions == ledger.state.restrictions
