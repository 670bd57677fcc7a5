"""Files made by the tools of others, described, ordered, recorded, audited and replayed here:
`python -m tests.campaigns.published [--olmo PYTHON] [--megatron PYTHON]`.

Each tool runs in an environment of its own, whose interpreter is named: ai2-olmo-core wants an older Rich than this
project has, megatron-core a later Python. Each run passes at `replayed`; with the batches of two steps exchanged it
fails at the first of them.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psion_ledger
from psion_ledger import data, orders
from psion_ledger.auditing import Audit
from tests.campaigns.results import empty_folder

OLMO = """
import json
from pathlib import Path
import numpy as np
from olmo_core.data import NumpyFSLDataset
from olmo_core.data.collator import DataCollator
from olmo_core.data.data_loader import NumpyFSLDataLoader
rng = np.random.default_rng(3)
for part in range(2):
    ids = np.memmap(f"part-{part}.npy", mode="w+", dtype=np.uint16, shape=(1000 + part * 37,))
    ids[:] = rng.integers(1, 900, ids.shape)
    ids.flush()
rows = NumpyFSLDataset("part-0.npy", "part-1.npy", sequence_length=16, pad_token_id=0, eos_token_id=0, vocab_size=1000,
    dtype=np.uint16)
rows.prepare()
Path("work").mkdir()
loader = NumpyFSLDataLoader(rows, collator=DataCollator(pad_token_id=0), global_batch_size=64, work_dir="work", seed=17,
    shuffle=True, num_threads=0, dp_world_size=1, dp_rank=0)
loader.reshuffle(epoch=1)
json.dump([[batch["index"].tolist(), batch["input_ids"].tolist()] for batch in loader], open("consumed.json", "w"))
"""
MEGATRON = """
import json
import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
rng = np.random.default_rng(5)
builder = IndexedDatasetBuilder("docs.bin", dtype=np.uint16)
for _ in range(40):
    ids = rng.integers(1, 900, rng.integers(3, 60)).astype(np.int32)
    builder.add_document(torch.from_numpy(ids), [len(ids)])
builder.finalize("docs.idx")
documents = IndexedDataset("docs")
json.dump([documents[number].tolist() for number in range(len(documents))], open("documents.json", "w"))
"""
Batches = list[tuple[list[int], list[list[int]]]]
MODEL = {"w": ("float32", (2, 2))}


def olmo(folder: Path, run_id: str, exchanged: tuple[int, int] | None) -> Path:
    """A run over two files of OLMo's, by the order file that its loader wrote; returns the corpus's folder."""
    batches: Batches = [(ids, rows) for ids, rows in json.loads((folder / "consumed.json").read_text())]
    (order,) = folder.glob("work/global_indices*")
    source = data.shards([folder / "part-0.npy", folder / "part-1.npy"], dtype="uint16")
    with psion_ledger.record(
        folder / "ledger", run_id=run_id, data=source, sequence_tokens=16, order=orders.file(order, format="u4"),
        model=MODEL, batch_sequences=4, horizon_steps=len(batches), finish=False,
    ) as run:  # fmt: skip
        _record(run, batches, exchanged)
    return folder


def megatron(folder: Path, run_id: str, exchanged: tuple[int, int] | None) -> Path:
    """A run over the documents of a Megatron pair, in an order of ours; returns the corpus's folder."""
    documents = json.loads((folder / "documents.json").read_text())
    with psion_ledger.record(
        folder / "ledger", run_id=run_id, data=data.megatron(folder / "docs"), model=MODEL, batch_sequences=4,
        order=orders.derived("torch.randperm", seed=4), horizon_steps=10, finish=False,
    ) as run:  # fmt: skip
        every = psion_ledger.orders.derive(run.contracts).sequence_ids(0, 40).tolist()
        parts = [every[first : first + 4] for first in range(0, 40, 4)]
        _record(run, [(ids, [documents[row] for row in ids]) for ids in parts], exchanged)
    return folder


def _record(run: psion_ledger.Recorder, batches: Batches, exchanged: tuple[int, int] | None) -> None:
    if exchanged is not None:
        first, second = exchanged
        batches[first - 1], batches[second - 1] = batches[second - 1], batches[first - 1]
    for ids, rows in batches:
        run.batch(ids, rows)
        run.step()


def audited(folder: Path, run_id: str, corpus: Path) -> Audit:
    with psion_ledger.open_run(folder / "ledger", run_id) as run:
        return psion_ledger.audit(run, require="replayed", corpus=corpus)


def case(name: str, python: str, script: str, recorded: Callable[[Path, str, tuple[int, int] | None], Path]) -> bool:
    """Whether the tool's files give a run that passes, and one with an exchange that fails where it is."""
    with empty_folder() as folder:
        subprocess.run([python, "-c", script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        corpus = recorded(folder, "clean", None)
        psion_ledger.finish(folder / "ledger", "clean", corpus=corpus)
        clean = audited(folder, "clean", corpus)
        faulty = audited(folder, "exchanged", recorded(folder, "exchanged", (7, 9)))
        at = {f.subject for law in faulty.laws if law.name == "batches_follow_the_order" for f in law.findings}
    good = (clean.verdict, clean.level, faulty.verdict) == ("PASS", "replayed", "FAIL") and "position 24" in at
    print(f"{name}: {clean.verdict} at {clean.level}; exchanged: {faulty.verdict} at {min(at, default='nothing')}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--olmo", metavar="PYTHON", help="of an environment with ai2-olmo-core")
    parser.add_argument("--megatron", metavar="PYTHON", help="of an environment with megatron-core")
    asked = parser.parse_args()
    held = [case("OLMo", asked.olmo, OLMO, olmo)] if asked.olmo else []
    held += [case("Megatron", asked.megatron, MEGATRON, megatron)] if asked.megatron else []
    return 0 if held and all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
