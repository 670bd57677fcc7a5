"""The anchors, the flags, and the settings of a run as the ledger keeps them.

A setting comes from a flag, else from its anchor. A resumed run takes every setting from the ledger; a flag
that disagrees with it is refused.
"""

import argparse
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn, get_type_hints

PYTHON_TEXT = "python"
_CHARACTERS_SHOWN = 80
RUN_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
WHOLE_MOST = 2**31 - 1
LEDGER, ARTIFACTS = Path("ledger"), Path("runs")
# Whole numbers: the least value of each setting.
WHOLE_LEAST = {
    "batch": 1, "checkpoint_every_steps": 1, "context": 2, "evaluate_every_steps": 1, "evaluation_sequences": 1,
    "label_smoothing_bps": 0, "micro_steps": 1, "seed": 0, "steps": 1, "threads": 1, "vocab": 257, "warmup_steps": 1,
}  # fmt: skip
# And their largest ones, where that is less than for all: OpenMP ends the process for lack of memory beyond.
_WHOLE_MOST = {"threads": 1024}
# Real ones, which are at least 0: those that have an upper end.
_REAL_BELOW = {"beta1": 1.0, "beta2": 1.0}


# The settings that no contract holds, sorted: a run's contracts and its attempts say all others.
RECORDED = (
    "adam_epsilon", "beta1", "beta2", "clip_norm", "corpus", "final_learning_rate_ratio", "learning_rate", "vocab",
    "warmup_steps", "weight_decay",
)  # fmt: skip


class BadInput(Exception):
    """The caller's mistake: one line that says what is wrong and what to do."""

    exit_code = 2


class CannotGoOn(Exception):
    """Why the run cannot be resumed here: one line, and what to do."""

    exit_code = 3


class Damaged(CannotGoOn):
    """Files of the run that are missing, or are no longer what the ledger says."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a run depends on besides its text. The ledger keeps those that no contract holds (`RECORDED`).

    `anchor` names the model's dimensions. `context` and `vocab` are in tokens, `batch` in sequences of one
    optimizer step over all ranks; `threads` is per process. `corpus` is "python" or a folder.
    """

    anchor: str
    context: int
    vocab: int
    batch: int
    micro_steps: int
    steps: int
    learning_rate: float
    final_learning_rate_ratio: float
    warmup_steps: int
    checkpoint_every_steps: int
    evaluate_every_steps: int
    evaluation_sequences: int
    label_smoothing_bps: int = 0
    beta1: float = 0.9
    beta2: float = 0.95
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    seed: int = 1337
    corpus: str = PYTHON_TEXT
    threads: int = 1

    def pairs(self) -> list[tuple[str, str]]:
        """Sorted (name, value) pairs of those that are recorded; a float's text is its shortest exact one."""
        return [(name, str(getattr(self, name))) for name in RECORDED]

    @classmethod
    def from_pairs(cls, pairs: list[tuple[str, str]], promised: dict[str, Any]) -> "Settings":
        """The inverse of `pairs`, with what the contracts promise. Raises Damaged for settings that this trainer never
        recorded."""
        kinds: dict[str, Any] = {name: kind for name, kind in get_type_hints(cls).items() if name in RECORDED}
        values: dict[str, Any] = {}
        for name, text in pairs:
            try:
                value = kinds[name](text)
            except (KeyError, ValueError):
                value = None
            if value is None or str(value) != text or name in values:
                raise _not_ours(f"{name[:_CHARACTERS_SHOWN]!r} is {text[:_CHARACTERS_SHOWN]!r}")
            values[name] = value
        if left_out := [name for name in kinds if name not in values]:
            raise _not_ours(f"{left_out[0]!r} is left out")
        settings = cls(**values, **promised)
        if (fault := settings.fault()) is not None:
            raise _not_ours(fault)
        return settings

    def fault(self) -> str | None:
        """The first setting that no training can have, for whatever text and machine."""
        if self.anchor not in ANCHORS:
            return f"there is no anchor {self.anchor[:_CHARACTERS_SHOWN]!r}"
        for name, value in asdict(self).items():
            most = _WHOLE_MOST.get(name, WHOLE_MOST)
            if name in WHOLE_LEAST and not WHOLE_LEAST[name] <= value <= most:
                return f"{name} is {value}, which is not from {WHOLE_LEAST[name]} to {most}"
            if isinstance(value, float) and not (math.isfinite(value) and 0 <= value < _REAL_BELOW.get(name, math.inf)):
                return f"{name} is {value}"
        if not self.corpus.strip() or not self.corpus.isprintable():
            return f"the corpus {self.corpus[:_CHARACTERS_SHOWN]!r} has no name that can be printed"
        return None

    def undivided(self, world_size: int) -> str | None:
        """Why the batch does not divide into ranks and micro steps; None when it does."""
        parts = world_size * self.micro_steps
        if self.batch % parts == 0:
            return None
        return (
            f"a batch of {self.batch} sequences does not divide into {world_size} ranks x {self.micro_steps} micro "
            f"steps; give --batch a multiple of {parts}"
        )


def _not_ours(why: str) -> Damaged:
    return Damaged(f"the recorded settings are not this trainer's: {why}; resume with the version that began the run")


ANCHORS = {
    "smoke": Settings(
        anchor="smoke", context=128, vocab=4096,
        batch=8, micro_steps=1, steps=200, learning_rate=3e-3, final_learning_rate_ratio=0.1, warmup_steps=20,
        checkpoint_every_steps=50, evaluate_every_steps=100, evaluation_sequences=32,
    ),
    "pilot32m": Settings(
        anchor="pilot32m", context=512, vocab=8192,
        batch=32, micro_steps=1, steps=2000, learning_rate=1e-3, final_learning_rate_ratio=0.1,
        warmup_steps=100, checkpoint_every_steps=500, evaluate_every_steps=500, evaluation_sequences=64,
    ),
    "internal128m": Settings(
        anchor="internal128m", context=1024, vocab=16384,
        batch=64, micro_steps=1, steps=10_000, learning_rate=6e-4, final_learning_rate_ratio=0.1,
        warmup_steps=500, checkpoint_every_steps=1000, evaluate_every_steps=1000, evaluation_sequences=64,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the command line asks for. `flags` are the settings that were given, by name."""

    flags: dict[str, Any]
    resume: str | None
    run_id: str
    ledger: Path
    artifacts: Path
    on_ledger_failure: Literal["raise", "detach"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message} (see python -m trainer --help)")


def parse_command(arguments: list[str]) -> Command:
    """The command line as a Command; raises BadInput."""
    parser = _Parser(
        prog="python -m trainer", description="Train a small decoder on real text, record the run, audit it."
    )
    settings = parser.add_argument_group("what to train (a resumed run takes these from the ledger)")
    settings.add_argument("--anchor", choices=sorted(ANCHORS), help="size of the model (default: smoke)")
    settings.add_argument(
        "--corpus", type=_text, metavar="DIR", help="folder of text (default: the Python installation's own)"
    )
    for name, metavar, about in (
        ("steps", "STEPS", "optimizer steps"),
        ("batch", "SEQUENCES", "sequences per optimizer step"),
        ("micro_steps", "N", "parts that a rank's batch is split in"),
        ("context", "TOKENS", "tokens per sequence"),
        ("vocab", "TOKENS", "size of the vocabulary"),
        ("seed", "SEED", "of the order and of the first weights (default: 1337)"),
    ):
        flag = "--" + name.replace("_", "-")
        settings.add_argument(flag, type=_count(WHOLE_LEAST[name]), metavar=metavar, help=about)
    parser.add_argument("--resume", metavar="RUN", help="go on with a run of the ledger where it stopped")
    parser.add_argument("--run-id", metavar="RUN", help="name of a new run (default: from date and time)")
    parser.add_argument("--ledger", type=_folder, metavar="DIR", default=LEDGER, help="(default: ./ledger)")
    parser.add_argument("--artifacts", type=_folder, metavar="DIR", default=ARTIFACTS, help="(default: ./runs)")
    parser.add_argument(
        "--on-ledger-failure", choices=["raise", "detach"], default="raise",
        help="when the ledger cannot be written: stop, or train on without a record, which never passes an audit",
    )  # fmt: skip
    given = vars(parser.parse_args(arguments))
    resume, run_id = given.pop("resume"), given.pop("run_id")
    if resume is not None and run_id not in (None, resume):
        raise BadInput(f"--resume {resume} and --run-id {run_id} name two runs; give --resume alone")
    return Command(
        resume=resume,
        run_id=_valid_run_id(next((name for name in (resume, run_id) if name is not None), _new_run_id())),
        ledger=given.pop("ledger"),
        artifacts=given.pop("artifacts"),
        on_ledger_failure=given.pop("on_ledger_failure"),
        flags={name: value for name, value in given.items() if value is not None},
    )


def new_settings(flags: dict[str, Any], *, world_size: int, threads: int) -> Settings:
    """The settings of a new run; raises BadInput for what can never train."""
    anchor = ANCHORS[str(flags.get("anchor", "smoke"))]
    settings = replace(anchor, threads=threads, **flags)
    settings = replace(settings, warmup_steps=max(1, min(anchor.warmup_steps, settings.steps // 10)))
    if (fault := settings.fault() or settings.undivided(world_size)) is not None:
        raise BadInput(fault)
    return settings


def refuse_disagreeing_flags(run_id: str, flags: dict[str, Any], recorded: Settings) -> None:
    """Raises BadInput if a flag says other than the ledger does."""
    for name, value in flags.items():
        if (kept := getattr(recorded, name)) != value:
            flag = "--" + name.replace("_", "-")
            raise BadInput(f"run {run_id} was started with {flag} {kept}, not {value}; resume it without {flag}")


def _count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = -1
        if not least <= value <= WHOLE_MOST:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {WHOLE_MOST}, not {text!r}")
        return value

    return parse


def _text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be a name that can be printed, not {text!r}")
    return text


def _folder(text: str) -> Path:
    return Path(_text(text))


def _new_run_id() -> str:
    return f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _valid_run_id(run_id: str) -> str:
    if not RUN_ID.fullmatch(run_id) or ".." in run_id:
        raise BadInput(
            f"bad run id {run_id!r}: use 1 to 64 lowercase letters, digits, '.', '_' or '-', "
            "starting with a letter or digit, without '..'"
        )
    return run_id
