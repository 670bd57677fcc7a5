"""A completion that was killed is gone on with: the next one seals and pins what is left of it, and the run passes."""

import signal
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.auditing import Audit, audit
from psion_ledger.completion import finish_run, open_completion
from psion_ledger.log.segment import seal_run
from psion_ledger.program import complete_stage
from psion_ledger.receipts import record_receipt
from tests.completion.runs import COMPLETES, FOLLOWING, completing, ends, pins
from tests.ledgers import COMPLETION, RANK0, RUN_ID
from tests.log.processes import finished


def completed(run: Path, *, receipt: bool = True) -> None:
    """The rest of a run, as its trainer does it."""
    with open_completion(run, 1) as writer:
        if receipt:
            record_receipt(run, writer)
        complete_stage(run, writer)
        finish_run(writer, "completed")
    seal_run(run)


def judged(run: Path) -> Audit:
    with open_run(run.parent, RUN_ID) as reading:
        return audit(reading)


def test_a_completion_that_was_killed_is_gone_on_with(run: Path) -> None:
    """Killed behind receipt_recorded: the next seals and pins it, and completes the stage by that receipt. The run
    then passes."""
    with completing(run) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=60)
    assert list((run / "journal" / COMPLETION).iterdir()) != []
    completed(run, receipt=False)
    there = ends(run)
    assert there[COMPLETION][0] == 1
    assert pins(run, FOLLOWING) == sorted((name, end) for name, end in there.items() if name != FOLLOWING)
    result = judged(run)
    assert ([law.name for law in result.laws if law.status == "violated"], result.verdict) == ([], "PASS")
    with open_run(run.parent, RUN_ID) as reading:
        found = reading.sql(
            "select stream from receipt_recorded union all select stream from stage_completed "
            "union all select stream from run_finished order by 1"
        )
        assert found.fetchall() == [(COMPLETION,), (FOLLOWING,), (FOLLOWING,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies",
    [
        "behind its first event",
        pytest.param("before its journal", marks=pytest.mark.slow),
        pytest.param("behind its stage", marks=pytest.mark.slow),
    ],
)
def test_a_completion_that_was_killed_anywhere_is_gone_on_with(run: Path, dies: str) -> None:
    """The folder alone was made; or nothing but stream_opened stands in it; or all but the end of the run."""
    if dies == "before its journal":
        (run / "journal" / COMPLETION).mkdir(mode=0o700)
    else:
        body = "writer = open_completion(run, 1)\n"
        body += "" if dies == "behind its first event" else "record_receipt(run, writer)\ncomplete_stage(run, writer)\n"
        finished(f"{COMPLETES}\n{body}print(1, flush=True)\nos._exit(0)", run)
    with open_completion(run, 1) as writer:
        assert writer.stream == FOLLOWING
        if dies != "behind its stage":
            record_receipt(run, writer)
            complete_stage(run, writer)
        finish_run(writer, "completed")
    seal_run(run)
    assert (COMPLETION in dict(pins(run, FOLLOWING))) == (dies != "before its journal")
    assert judged(run).verdict == "PASS"


@pytest.mark.slow
def test_a_torn_completion_is_cut_pinned_and_gone_on_with(run: Path) -> None:
    """The kill cut its receipt in two."""
    with completing(run):
        pass
    (journal,) = (run / "journal" / COMPLETION).iterdir()
    journal.write_bytes(journal.read_bytes()[:-5])
    completed(run)
    assert dict(pins(run, FOLLOWING))[COMPLETION] == (0, ends(run)[COMPLETION][1])
    assert judged(run).verdict == "PASS"


@pytest.mark.slow
def test_the_third_pins_the_second_which_pins_the_first(run: Path) -> None:
    """Each rests on the one before it alone."""
    for _ in range(2):
        open_completion(run, 1).close()
    completed(run)
    for stream, before in ((FOLLOWING, COMPLETION), ("c.3", FOLLOWING)):
        assert [name for name, _ in pins(run, stream)] == [before, RANK0, "v.first", "v.second"]
    assert judged(run).verdict == "PASS"


@pytest.mark.slow
def test_a_copy_without_its_empty_folders_is_gone_on_with(run: Path) -> None:
    """Archives and Git keep none: the name of a completion that is sealed is taken all the same, or its events would be
    dropped as sealed already."""
    open_completion(run, 1).close()
    seal_run(run)
    for folder in (run / "journal").iterdir():
        folder.rmdir()
    completed(run)
    assert [(stream, end[0]) for stream, end in ends(run).items() if stream.startswith("c")] == [
        (COMPLETION, 0), (FOLLOWING, 3),
    ]  # fmt: skip
    assert judged(run).verdict == "PASS"
