"""One process of a run on several ranks, without torch.

    python -m tests.recording.ranks FOLDER RANK WORLD TAKE [FAULT]

RANK is a number or `peer`: a peer of rank 0 takes its batches, and records nothing.
"""

import sys
from pathlib import Path

import psion_ledger
from psion_ledger import data, orders
from psion_ledger.contracts.sampling_plan import Take
from tests.recording.loops import BATCH, MODEL, STEPS, rows

FAULT_STEP = 2


def main(folder: Path, rank: str, world: int, take: Take, fault: str) -> None:
    with psion_ledger.record(
        folder / "ledger", run_id="tiny", artifacts=folder / "runs", data=data.npy(folder / "train.npy"),
        order=orders.derived("torch.randperm", seed=3), model=MODEL, batch_sequences=BATCH, horizon_steps=STEPS,
        micro_batch_sequences=2, take=take, rank="peer" if rank == "peer" else int(rank),
        world=world, launch="x", finish=False,
    ) as run:  # fmt: skip
        if run.checkpoint_to_load is not None:
            run.loaded(run.checkpoint_to_load)
        for step in range(run.next_step, STEPS + 1):
            for _ in range(BATCH // world // 2):
                # A peer is sent them by the rank that records.
                ids = [0, 1] if rank == "peer" else run.next_ids().tolist()
                if fault == "another's rows" and rank == "1" and step == FAULT_STEP:
                    ids = [0, 1]
                run.batch(ids, rows(ids))
            run.step(loss_sum=1.0, loss=2.0 / 40, divisor=40)
        saved = folder / "runs" / "tiny" / "last"
        if rank == "0":
            saved.mkdir(parents=True)
            (saved / "model.safetensors").write_bytes(b"weights")
        run.checkpoint(saved)
        run.promote(saved, label="last")


if __name__ == "__main__":
    dealt: Take = "strided" if sys.argv[4] == "strided" else "contiguous"
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), dealt, sys.argv[5] if len(sys.argv) > 5 else "")
