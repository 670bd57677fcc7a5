"""Sizes that cannot work are refused before anything is tokenized or built.

Each bound is one that no run can get under: what it refuses would have failed later, after minutes, or have been
ended by the kernel for its memory.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.config import BadInput, Settings
from trainer.document import Document

TOTAL_BPS = 10_000
BYTE_TOKENS = 257  # every byte, and the end of a text
_GIB = 2**30
_FLOAT_BYTES = 4
# Of the optimizer's step: the weights and two moments. Gradients come when activations go.
_COPIES_OF_WEIGHTS = 3
# Logits, their logarithms, and the gradient of these; at least so many rows of the model's width in a layer.
_COPIES_OF_LOGITS = 3
_ROWS_IN_A_LAYER = 16


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    parameters: int
    layer_count: int
    hidden_size: int
    vocab: int

    @property
    def state_bytes(self) -> int:
        """Of the weights and the optimizer's moments, in memory and in a checkpoint."""
        return self.parameters * _FLOAT_BYTES * _COPIES_OF_WEIGHTS

    def step_bytes(self, sequences: int, context: int, value_bytes: int) -> int:
        """The least memory of a step that learns from `sequences` at once, in numbers of `value_bytes`."""
        numbers = _COPIES_OF_LOGITS * self.vocab + _ROWS_IN_A_LAYER * self.layer_count * self.hidden_size
        return self.state_bytes + sequences * (context - 1) * numbers * value_bytes


# ---- The text ----


def vocab_most(settings: Settings, documents: Sequence[Document]) -> int:
    """No text gives more tokens than it has bytes, and one for each byte."""
    train_bytes = sum(_bytes(document) for document in documents if document.split == "train")
    return min(settings.vocab, BYTE_TOKENS + train_bytes)


def refuse_beyond_text(settings: Settings, documents: Sequence[Document]) -> None:
    """Raises BadInput for a context, batch or horizon that this text cannot fill. A token is a byte at least."""
    tokens_most: dict[tuple[str, str], int] = defaultdict(int)
    for document in documents:
        tokens_most[document.split, document.source_family_id] += _bytes(document) + 1
    for (split, family), tokens in sorted(tokens_most.items()):
        if tokens < settings.context:
            raise BadInput(
                f"the text is too small: family {family!r} has at most {tokens:,} tokens in its {split} split, and one "
                f"sequence takes {settings.context:,}; add text, or give a smaller --context"
            )
    train = [tokens // settings.context for (split, _), tokens in tokens_most.items() if split == "train"]
    if len(train) > TOTAL_BPS:
        raise BadInput(f"the text has {len(train):,} source families, and shares are in 1/{TOTAL_BPS:,}; join some")
    refuse_batch_beyond(settings, sum(train))
    if settings.steps * settings.batch < len(train):
        raise BadInput(
            f"{settings.steps} steps of {settings.batch} sequences would never draw some of the {len(train)} source "
            f"families; give --steps {-(-len(train) // settings.batch)} or more"
        )


def refuse_batch_beyond(settings: Settings, sequences: int) -> None:
    """Raises BadInput for a batch that is larger than all the text to train on."""
    if settings.batch > sequences:
        raise BadInput(
            f"a batch of {settings.batch:,} sequences of {settings.context:,} tokens is more than the text holds "
            f"(at most {sequences:,} sequences); give a smaller --batch, or more text"
        )


def _bytes(document: Document) -> int:
    return len(document.text.encode())


# ---- The machine ----


def machine_bytes() -> int:
    """The memory that the processes of this machine can have together."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdecimal() else physical


def refuse_beyond_memory(settings: Settings, needed_bytes: int, memory_bytes: int) -> None:
    """Raises BadInput for a step that needs more memory than there is."""
    if needed_bytes > memory_bytes:
        raise BadInput(
            f"a step needs at least {gib(needed_bytes)} of memory, and there are {gib(memory_bytes)}; give more "
            f"--micro-steps than {settings.micro_steps}, or less --batch, --context or --vocab"
        )


def refuse_beyond_disk(settings: Settings, model: ModelSize, folder: Path) -> None:
    """Raises BadInput for a horizon whose checkpoints, which are all kept, have no room below `folder`."""
    free_bytes = shutil.disk_usage(nearest(folder)).free
    every = settings.checkpoint_every_steps
    checkpoints = 1 + -(-settings.steps // every)
    if checkpoints * model.state_bytes > free_bytes:
        steps_most = max(0, free_bytes // model.state_bytes - 1) * every
        todo = f"give --steps {steps_most} or less" if steps_most else "free the disk"
        raise BadInput(
            f"{checkpoints:,} checkpoints of {settings.steps:,} steps take at least "
            f"{gib(checkpoints * model.state_bytes)}, and {folder} has {gib(free_bytes)} free; {todo}, or name a "
            "larger disk with --artifacts"
        )


def nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))


def gib(count: int) -> str:
    return f"{count / _GIB:,.1f} GiB"
