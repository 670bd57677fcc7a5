"""Contracts, and the ledgers that hold every law; written once, and never changed by a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psion_ledger.contracts import Contracts
from tests.corpora import real_contracts
from tests.laws import write_artifacts
from tests.laws.copies import Copies
from tests.ledgers import good_run, resumed_run, write_ledger


@pytest.fixture(scope="session")
def contracts() -> Contracts:
    return real_contracts()


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory, contracts: Contracts) -> Path:
    """The folder of a finished run of one rank; four manifest entries."""
    return write_ledger(tmp_path_factory.mktemp("good"), good_run(contracts))


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory, contracts: Contracts) -> Path:
    return write_ledger(tmp_path_factory.mktemp("two-ranks"), good_run(contracts, world=2))


@pytest.fixture(scope="session")
def resumed(tmp_path_factory: pytest.TempPathFactory, contracts: Contracts) -> Path:
    """The folder of a run that was killed in step 3 and resumed from the checkpoint at step 2."""
    return write_ledger(tmp_path_factory.mktemp("resumed"), resumed_run(contracts))


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory, contracts: Contracts) -> Path:
    """The shards and weights that go with any of the ledgers."""
    return write_artifacts(tmp_path_factory.mktemp("artifacts"), contracts)


@pytest.fixture(scope="session")
def resumed_copies(resumed: Path, artifacts: Path) -> Iterator[Copies]:
    copies = Copies(resumed, artifacts)
    yield copies
    copies.close()


@pytest.fixture(scope="session")
def two_rank_copies(two_ranks: Path, artifacts: Path) -> Iterator[Copies]:
    copies = Copies(two_ranks, artifacts)
    yield copies
    copies.close()
