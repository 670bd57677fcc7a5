"""A place to train at, with made-up text; and a run that was trained once, whose copies tests forge."""

from pathlib import Path

import pytest

from psion_ledger import events, log, open_run
from tests.trainer.command import Place
from tests.trainer.forging import Trained
from tests.trainer.tiny import Runs, settings, write_corpus
from trainer.loop import train


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    write_corpus(place.corpus)
    return place


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    runs = Runs(folder, settings(write_corpus(folder / "text")))
    emitted: list[events.Event] = []
    with pytest.MonkeyPatch.context() as patched:
        emit = log.Writer.emit

        def kept(writer: log.Writer, event: events.Event) -> None:
            emitted.append(event)
            emit(writer, event)

        patched.setattr(log.Writer, "emit", kept)
        training = runs.begin("r")
        with training.recorder:
            assert train(training, lambda: False) == "a0001-s000006"
    with open_run(runs.ledger, "r") as run:
        assert run.sql("select max(step) from step_completed").fetchall() == [(6,)]
    return Trained(folder, emitted)
