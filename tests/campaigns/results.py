"""What a campaign found, and how to see one of its failures again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

# In memory, where there is such a disk: the calls are the same, and a sync costs nothing.
_MEMORY = Path("/dev/shm")


class Result(msgspec.Struct, kw_only=True):
    """`cases` were run, on `distinct` different starting points; `detail` says what they were made of."""

    name: str
    cases: int = 0
    distinct: int = 0
    failures: list[str] = []
    seconds: float = 0.0
    detail: str = ""

    def fail(self, case: str, seed: int, wrong: list[str]) -> None:
        """Note a case that went wrong, and the one command that repeats it."""
        repeat = f"python -m tests.campaigns {self.name} --seed {seed} --only '{case}'"
        self.failures += [f"{line}\n    {repeat}" for line in wrong]


@contextmanager
def empty_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None, prefix="campaign-") as folder:
        yield Path(folder)
