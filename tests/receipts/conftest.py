"""The good run's ledger and the receipt that it recorded, written once for all who read it; no test changes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.ledger import Run
from tests.corpora import real_contracts
from tests.ledgers import RUN_ID, good_run, write_ledger


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = tmp_path_factory.mktemp("good")
    write_ledger(ledger, good_run(real_contracts()))
    return ledger


@pytest.fixture(scope="module")
def run(good: Path) -> Iterator[Run]:
    with open_run(good, RUN_ID) as opened:
        yield opened


@pytest.fixture(scope="session")
def text(good: Path) -> bytes:
    """The exact text that was recorded."""
    with open_run(good, RUN_ID) as opened:
        row = opened.first("select document from receipt_recorded")
    assert row is not None
    document: str = row[0]
    return document.encode()
