"""A place to train at, with made-up text."""

from pathlib import Path

import pytest

from tests.trainer.command import Place
from tests.trainer.tiny import write_corpus


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    write_corpus(place.corpus)
    return place
