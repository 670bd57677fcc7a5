"""A finished run that passes its audit, copied for each attack, and the process that commands are forked from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpora import real_contracts
from tests.hostile import Commands
from tests.laws import write_artifacts
from tests.ledgers import RUN_ID, good_run, write_ledger


@pytest.fixture(scope="session")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds `ledger` and `artifacts` of a run whose audit passes; nobody changes it."""
    folder = tmp_path_factory.mktemp("intact")
    contracts = real_contracts()
    write_ledger(folder / "ledger", good_run(contracts))
    write_artifacts(folder / "artifacts", contracts)
    return folder


@pytest.fixture
def ledger(intact: Path, tmp_path: Path) -> Path:
    """A copy of it to attack."""
    shutil.copytree(intact, tmp_path, dirs_exist_ok=True)
    return tmp_path / "ledger"


@pytest.fixture
def run(ledger: Path) -> Path:
    return ledger / RUN_ID


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    forking = Commands()
    yield forking
    forking.close()
