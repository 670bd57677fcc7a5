"""A ledger that anybody's SQL is asked of, written once; no test changes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.ledger import Run
from tests.corpora import real_contracts
from tests.ledgers import RUN_ID, good_run, write_ledger


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger, and beside it a file that nobody may read or overwrite."""
    made = tmp_path_factory.mktemp("sandbox")
    write_ledger(made / "ledger", good_run(real_contracts()))
    (made / "secret.csv").write_text("word\nswordfish\n")
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    with open_run(folder / "ledger", RUN_ID) as opened:
        yield opened
