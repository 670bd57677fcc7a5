"""Copies of a run that was trained and replayed, and not completed; it is written once and never changed by a test."""

import shutil
from pathlib import Path

import pytest

from tests.completion.runs import not_completed
from tests.ledgers import RUN_ID, write_ledger


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("whole"), not_completed())


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / RUN_ID)
    return tmp_path / RUN_ID
