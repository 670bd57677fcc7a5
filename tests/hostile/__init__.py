"""What the tests of hostile ledgers share: a command, run and measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec

from tests.ledgers import RUN_ID

ROOT = Path(__file__).resolve().parents[2]
# Seconds are those of processors: others may want the same ones.
CPU_SECONDS_MAX, PEAK_BYTES_MAX = 10.0, 1 << 30


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    cpu_seconds: float
    peak_bytes: int

    def unclean(self, *codes: int, lines_max: int = 1) -> list[str]:
        """In what way it did not end as it should: with one of these codes, and with at most one line about it.

        The name of a phase that takes time is no line about its end.
        """
        wrong = []
        if self.code not in codes:
            wrong.append(f"exit code {self.code}, expected {codes}")
        lines = [line for line in self.stderr.splitlines() if not line.endswith(" ...")]
        if "Traceback" in self.stderr or len(lines) > lines_max:
            wrong.append("more than a line on stderr")
        if self.cpu_seconds > CPU_SECONDS_MAX:
            wrong.append(f"{self.cpu_seconds:.1f} s")
        if self.peak_bytes > PEAK_BYTES_MAX:
            wrong.append(f"{self.peak_bytes >> 20:,} MiB")
        obeyed = {c for c in self.stdout + self.stderr if not c.isprintable() and c != "\n"}
        if obeyed:
            wrong.append(f"characters that a terminal obeys: {sorted(obeyed)!r}")
        return wrong


class Commands:
    """Owns the process that commands are forked from; close it."""

    def __init__(self) -> None:
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.warm"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, ledger: Path, *words: object) -> Ended:
        """`psion-ledger` with these words on a ledger, its artifacts beside it."""
        more = ["--artifacts", ledger.parent / "artifacts"] if words[0] == "audit" else []
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        print(
            json.dumps([str(word) for word in (*words, "--ledger", ledger, *more)]), file=self._warm.stdin, flush=True
        )
        return msgspec.convert(json.loads(self._warm.stdout.readline()), Ended)

    def ends(self, ledger: Path, codes: int | tuple[int, ...], *words: object) -> Ended:
        """The command ends with this exit code (or one of them), cleanly, in 10 s and 1 GiB."""
        ended = self.run(ledger, *words)
        wrong = ended.unclean(*((codes,) if isinstance(codes, int) else codes))
        assert wrong == [], (wrong, words, ended.stderr[:1000], ended.stdout[:1000])
        return ended

    def close(self) -> None:
        assert self._warm.stdin is not None
        self._warm.stdin.close()
        self._warm.wait(timeout=60)
        assert self._warm.stdout is not None
        self._warm.stdout.close()


__all__ = ["RUN_ID", "Commands", "Ended"]
