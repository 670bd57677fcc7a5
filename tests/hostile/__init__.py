"""What the tests of hostile ledgers share: a command that must end cleanly, in little time and memory."""

import os
from pathlib import Path

from tests.forked import Ended, Forking
from tests.ledgers import RUN_ID

# Seconds are those of processors: others may want the same ones.
CPU_SECONDS_MAX, PEAK_BYTES_MAX = 10.0, 1 << 30


def unclean(ended: Ended, *codes: int, lines_max: int = 1, cpu_seconds_max: float = CPU_SECONDS_MAX) -> list[str]:
    """In what way a command did not end as it should: with one of these codes, and with at most one line about it.

    The name of a phase that takes time is no line about its end.
    """
    wrong = []
    if ended.returncode not in codes:
        wrong.append(f"exit code {ended.returncode}, expected {codes}")
    lines = [line for line in ended.stderr.splitlines() if not line.endswith(" ...")]
    if "Traceback" in ended.stderr or len(lines) > lines_max:
        wrong.append("more than a line on stderr")
    if ended.cpu_seconds > cpu_seconds_max:
        wrong.append(f"{ended.cpu_seconds:.1f} s")
    if ended.peak_bytes > PEAK_BYTES_MAX:
        wrong.append(f"{ended.peak_bytes >> 20:,} MiB")
    obeyed = {c for c in ended.stdout + ended.stderr if not c.isprintable() and c != "\n"}
    if obeyed:
        wrong.append(f"characters that a terminal obeys: {sorted(obeyed)!r}")
    return wrong


class Commands:
    """Runs commands on hostile ledgers; close it."""

    def __init__(self) -> None:
        self._forking = Forking()

    def run(self, ledger: Path, *words: object, env: dict[str, str] | None = None) -> Ended:
        """`psion-ledger` with these words on a ledger, its artifacts beside it, and with these variables."""
        more = ["--artifacts", ledger.parent / "artifacts"] if words[0] == "audit" else []
        return self._forking.run([*words, "--ledger", ledger, *more], env={**os.environ, **(env or {})})

    def ends(
        self,
        ledger: Path,
        codes: int | tuple[int, ...],
        *words: object,
        cpu_seconds_max: float = CPU_SECONDS_MAX,
        env: dict[str, str] | None = None,
    ) -> Ended:
        """The command ends with this exit code (or one of them), cleanly, in 10 s and 1 GiB."""
        ended = self.run(ledger, *words, env=env)
        wrong = unclean(ended, *((codes,) if isinstance(codes, int) else codes), cpu_seconds_max=cpu_seconds_max)
        assert wrong == [], (wrong, words, ended.stderr[:1000], ended.stdout[:1000])
        return ended

    def close(self) -> None:
        self._forking.close()


__all__ = ["RUN_ID", "Commands", "Ended", "unclean"]
