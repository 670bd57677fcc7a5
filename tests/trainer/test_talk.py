"""What the trainer says while it works: never silent for long, and one line that no terminal obeys."""

import os
import subprocess
import sys
import time

import pytest

from tests.trainer.command import REMINDER, REPOSITORY, Place
from trainer import talk


@pytest.mark.slow
def test_nothing_is_silent_for_more_than_two_seconds(place: Place) -> None:
    """The whole of a run of the smoke anchor's own size, with room for a busy machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "--run-id", "r", "--steps", "40", *place.folders],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )  # fmt: skip
    assert process.stderr is not None
    last_s, longest_s = time.monotonic(), 0.0
    for _ in process.stderr:
        longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
    process.communicate()
    assert (process.returncode, longest_s < 3) == (0, True), longest_s


@pytest.mark.slow
def test_a_phase_is_said_again_when_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the seconds that it has taken; a line in between puts it off, and its end ends it."""
    monkeypatch.setattr(talk, "SILENT_S_MAX", 0.4)
    with talk.phase("thinking"):
        time.sleep(1)
    said = capfd.readouterr().err.splitlines()
    assert (said[0], len(said) > 1) == ("thinking", True)
    assert {REMINDER.sub("", line) for line in said} == {"thinking"}
    with talk.phase("speaking"):
        for _ in range(12):
            time.sleep(0.05)
            talk.say("a word")
    time.sleep(0.5)
    assert capfd.readouterr().err.splitlines() == ["speaking", *["a word"] * 12]


def test_what_is_said_is_one_line_that_no_terminal_obeys(capfd: pytest.CaptureFixture[str]) -> None:
    """Escapes, line breaks and bidi overrides are spelled; letters are left as they are."""
    talk.say("é \x1b[2J \n \r \u202e \x9b")
    assert capfd.readouterr().err == "é \\x1b[2J \\x0a \\x0d \\u202e \\x9b\n"
