"""The practices: a loop that does one of them, and for each two neighbours with a fault, the law that names it, and the
step and rank that it names."""

from typing import Any

import msgspec
import numpy as np

from psion_ledger import events
from psion_ledger.contracts import Contracts, LayoutTensor, TensorLayout
from psion_ledger.contracts.sampling_plan import BatchRule, BatchSize, Passes, PlannedSkip, PlanOrder, RankRule
from psion_ledger.orders import derive
from tests.ledgers import Script
from tests.practices import faults
from tests.practices.checkpoints import best, late, resume, world_change
from tests.practices.parts import (
    SEED,
    TOKENS,
    Neighbour,
    Practice,
    at_positions,
    at_step,
    loop,
    lost,
    order,
    plan,
    randperm,
    shuffled,
    sizes,
    swapped,
    undeclared,
)
from tests.practices.recorder import Attempt, Loop, one_family


def _drop_last() -> Practice:
    own = plan(
        11, order(tail="drop", block=4), steps=4, batch=4, passes=Passes(sequences=8, end="spans"),
    )  # fmt: skip
    entry = shuffled(11, 8)
    tail = randperm(11, SEED)[8]
    return Practice(
        name="the rows that fill no batch are dropped (drop_last)",
        loop=loop(own, entry),
        neighbours=(
            Neighbour(
                fault="a row of the tail was trained on", law="batches_follow_the_order", step=3, rank=0,
                made=lambda s: faults.with_ids(
                    s, faults.batches(s, 3)[0], [tail, *faults.ids_at(s, faults.batches(s, 3)[0])[1:]]
                ),
            ),
            swapped(1, 4),
        ),
    )  # fmt: skip


def _short_batch() -> Practice:
    own = plan(10, order(), steps=6, batch=4, passes=Passes(sequences=10, end="short_batch"))
    own = msgspec.structs.replace(own, batch=sizes(4, 2))
    return Practice(
        name="a pass ends in a short batch, with fewer micro batches",
        loop=loop(own, shuffled(10)),
        neighbours=(
            at_positions(4, "the next pass began one row late", first_position=11),
            lost(2, nth=1),
        ),
    )


def _padding() -> Practice:
    own = plan(
        10, order(may_repeat="padding", tail="pad", block=8), steps=4, batch=8,
        passes=Passes(sequences=16, end="spans"), ranks=RankRule(layout="micro_major", take="strided"),
    )  # fmt: skip
    own = msgspec.structs.replace(own, batch=sizes(8, 4))
    return Practice(
        name="a pass is padded from its head, so that all ranks have as much (DistributedSampler)",
        loop=loop(own, shuffled(10, 16), Attempt(world=2, until=4)),
        neighbours=(
            Neighbour(
                fault="padded with the last row over and over", law="batches_follow_the_order", step=2, rank=1,
                made=lambda s: faults.with_ids(
                    s, faults.batches(s, 2, 1)[0], [faults.ids_at(s, faults.batches(s, 2, 1)[0])[0]] * 4
                ),
            ),
            at_positions(3, "a rank took neighbours, and not every second row", rank=1, stride=1),
        ),
    )  # fmt: skip


def _ramp_up() -> Practice:
    schedule = [BatchSize(first_step=1, sequences=2), BatchSize(first_step=3, sequences=4),
                BatchSize(first_step=5, sequences=8)]  # fmt: skip
    own = plan(40, order(), steps=6, batch=2)
    own = msgspec.structs.replace(own, batch=BatchRule(schedule=schedule, micro_batch_sequences=2))
    return Practice(
        name="the batch grows in steps (ramp-up)",
        loop=loop(own, shuffled(40), Attempt(world=1, until=6)),
        neighbours=(lost(5, nth=3), at_positions(3, "the batch grew one step late", first_position=6)),
    )


def _skips(planned: bool) -> Practice:
    skips = [PlannedSkip(before_step=3, sequences=4)] if planned else []
    own = plan(40, order(), steps=4, batch=4, planned_skips=skips)
    own_loop = loop(own, shuffled(40), skipped=() if planned else ((3, 4),))
    without = Neighbour(
        fault="the skip was taken and not recorded", law="batches_take_their_positions", step=3, rank=0,
        made=lambda s: faults.lost(s, faults.first_of(s, events.BatchSkipped)),
    )  # fmt: skip
    shorter = Neighbour(
        fault="fewer rows were left out than recorded positions say", law="skips_take_their_positions", step=3, rank=0,
        made=lambda s: faults.replaced(s, faults.first_of(s, events.BatchSkipped), first_position=7),
    )  # fmt: skip
    return Practice(
        name="data is left out as planned" if planned else "data is left out on the way, and recorded",
        loop=own_loop,
        neighbours=(without, shorter),
    )


def _refused() -> Practice:
    return Practice(
        name="the optimizer refused a step (a loss scale overflowed)",
        loop=loop(plan(40, order(), steps=4, batch=4), shuffled(40), refused=frozenset({2})),
        neighbours=(
            at_step(
                2, "the refused step's loss is no mean of its sum", "mean_losses_are_sums_over_divisors", loss_nats=4.0
            ),
            swapped(2, 3),
        ),
    )


def _lengths() -> Practice:
    own = plan(12, order(), steps=3, batch=4, sequence_tokens=None)
    families = [msgspec.structs.replace(own.families[0], tokens=sum(4 + entry for entry in range(12)))]
    own = msgspec.structs.replace(own, families=families)
    return Practice(
        name="rows of different lengths",
        loop=loop(own, shuffled(12), tokens=lambda entry: 4 + entry),
        neighbours=(
            Neighbour(
                fault="padding was counted as tokens", law="targets_are_counted", step=2, rank=0,
                made=lambda s: faults.replaced(s, faults.batches(s, 2)[0], target_tokens=4 * 15),
            ),
            at_step(3, "the divisor counts padded tokens", "loss_divisors_are_target_tokens", loss_divisor=60.0),
        ),
    )  # fmt: skip


def _packing() -> Practice:
    def pieces(entry: int) -> list[dict[str, Any]]:
        # Documents of 24 tokens over rows of 16: every row has parts of two.
        first = entry * TOKENS
        parts, at = [], first
        while at < first + TOKENS:
            document = at // 24
            taken = min(first + TOKENS, (document + 1) * 24) - at
            parts.append({"source_id": "web", "document_id": f"d{document}", "first_token": at % 24, "tokens": taken})
            at += taken
        return parts

    return Practice(
        name="documents are packed across sequences",
        loop=loop(plan(12, order(), steps=3, batch=4), shuffled(12), documents=pieces),
        neighbours=(swapped(1, 2), lost(3)),
    )


def windows(held_out: int = 0) -> Loop:
    """Windows that begin at any token; of so many tokens besides that are held out."""
    own = plan(
        1000, undeclared("windows are drawn from the global generator"), steps=3, batch=4, unit="window",
        passes=Passes(end="spans"),
    )  # fmt: skip
    families = [
        msgspec.structs.replace(family, tokens=family.sequences + TOKENS - 1)
        for family in one_family(1000, TOKENS, held_out)
    ]
    return loop(msgspec.structs.replace(own, families=families), lambda position: position * 37 % 900)


def _windows() -> Practice:
    return Practice(
        name="random windows of a token stream",
        loop=windows(),
        level="accounted",
        neighbours=(
            Neighbour(
                fault="a window begins beyond the data", law="batches_draw_train_sequences", step=2, rank=None,
                made=lambda s: faults.with_ids(s, faults.batches(s, 2)[0], [5000, 5001, 5002, 5003]),
            ),
            lost(3),
        ),
    )  # fmt: skip


def _streaming() -> Practice:
    own = plan(
        100, undeclared("the stream has no ids"), steps=3, batch=4, unit="content", passes=Passes(end="spans")
    )  # fmt: skip
    return Practice(
        name="streaming without ids",
        loop=loop(own, lambda position: position),
        level="accounted",
        neighbours=(
            Neighbour(
                fault="a sequence has no digest", law="batches_count_their_tokens", step=2, rank=0,
                made=lambda s: faults.replaced(s, faults.batches(s, 2)[0], sequence_sha256s=[bytes(32)] * 3),
            ),
            lost(3),
        ),
    )  # fmt: skip


def _ranks(layout: Any, take: Any) -> Practice:
    own = plan(48, order(), steps=3, batch=16, ranks=RankRule(layout=layout, take=take))
    own = msgspec.structs.replace(own, batch=sizes(16, 4))

    def exchanged(script: Script) -> Script:
        one, other = faults.batches(script, 2, 1)
        first, second = script[one][1], script[other][1]
        assert isinstance(first, events.BatchReplayed)
        assert isinstance(second, events.BatchReplayed)
        script = faults.replaced(script, one, micro_step=second.micro_step)
        return faults.replaced(script, other, micro_step=first.micro_step)

    return Practice(
        name=f"two ranks, {layout.replace('_', '-')}, {take}",
        loop=loop(own, shuffled(48), Attempt(world=2, until=3)),
        neighbours=(
            Neighbour(
                fault="two micro batches of a rank changed places", law="batches_take_their_positions", step=2, rank=1,
                made=exchanged,
            ),
            Neighbour(
                fault="the ranks trained each other's rows", law="batches_follow_the_order", step=3, rank=0,
                made=lambda s: faults.exchanged(s, faults.batches(s, 3, 0)[0], faults.batches(s, 3, 1)[0]),
            ),
        ),
    )  # fmt: skip


def _materialised() -> Practice:
    ids = np.array([7, 3, 11, 0, 9, 5, 1, 2, 8, 4, 6, 10] * 2, "<u4")
    own = plan(
        12, PlanOrder(kind="materialised", may_repeat="nothing"), steps=6, batch=4,
    )  # fmt: skip
    halves = ((ids[:10].tobytes(), 10), (ids[10:].tobytes(), 14))
    return Practice(
        name="the order was written to files before training",
        loop=loop(own, lambda position: int(ids[position]), order_files=halves),
        neighbours=(swapped(2, 6), lost(5)),
    )


def _other_model() -> Practice:
    layout = TensorLayout(
        schema_version="psion_ledger.tensor_layout.v1", model_id="other", architecture="mamba",
        max_context_tokens=TOKENS, parameters=12,
        tensors=[LayoutTensor(name="a", dtype="bfloat16", shape=[3, 4])],
    )  # fmt: skip
    own = loop(plan(12, order(name="sequential", seed=0), steps=3, batch=4), lambda position: position)
    own = msgspec.structs.replace(own, contracts=msgspec.structs.replace(own.contracts, model_descriptor=layout))
    return Practice(
        name="any model, no stage, in the order of the data",
        loop=own,
        neighbours=(swapped(1, 3), lost(2)),
    )


def _every_order(name: str, entries: int, may_repeat: Any = "nothing", **parameters: Any) -> Practice:
    """A loop in a derived order, whose ids are compared with its library elsewhere."""
    own = plan(entries, order(may_repeat, name, **parameters), steps=5, batch=4, passes=Passes(end="spans"))
    ids = derive(Contracts(sampling_plan=own)).sequence_ids(0, 20).tolist()
    return Practice(
        name=f"the order {name}", loop=loop(own, lambda position: ids[position]), neighbours=(swapped(2, 5), lost(4))
    )


ORDERS = (
    _every_order("numpy.pcg64_shuffle", 24, first_pass=1, chunk=2),
    _every_order("torch.generator", 24, draws_before=2, draws_a_pass=48),
    _every_order("torch.replacement", 24, "anything"),
    _every_order("megatron.gpt", 24, documents=7, epochs=2, samples_before_last=12),
    *(
        _every_order(f"mosaicml.{name}", 24, shard_sizes=[10, 9, 5], canonical_nodes=2, shuffle_block_size=8)
        for name in ("naive", "py1s", "py2s", "py1br", "py1e")
    ),
)
PRACTICES = (
    _drop_last(), _short_batch(), _padding(), _ramp_up(), _skips(False), _skips(True), _refused(), _lengths(),
    _packing(), _windows(), _streaming(), _ranks("rank_major", "contiguous"), _ranks("rank_major", "strided"),
    _ranks("micro_major", "contiguous"), _ranks("micro_major", "strided"), world_change(), resume("before", 2),
    resume("at", 4), resume("after", 6), late(), best(), _materialised(), _other_model(), *ORDERS,
)  # fmt: skip
