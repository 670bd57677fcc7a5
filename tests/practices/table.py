"""The practices: a loop that does one of them, and for each two neighbours with a fault, the law that names it, and the
step and rank that it names."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import torch

from psion_ledger import events
from psion_ledger.contracts import Contracts, EvaluationSet, LayoutTensor, SamplingPlan, TensorLayout
from psion_ledger.contracts.sampling_plan import (
    BatchRule,
    BatchSize,
    Cadence,
    OrderParameter,
    Passes,
    PlannedSkip,
    PlanOrder,
    RankRule,
)
from psion_ledger.orders import derive
from tests.ledgers import Script
from tests.practices import faults
from tests.practices.recorder import Attempt, Loop, checkpoint_id, one_family, weights

SEED, TOKENS = 5, 16
Break = Callable[[Script], Script]


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """A faulty neighbour: what the loop did wrong, and where that must be named."""

    fault: str
    law: str
    step: int | None
    rank: int | None
    made: Break


class Practice(msgspec.Struct, frozen=True, kw_only=True):
    """A practice by name, the loop that does it, the level that its record reaches, and two faulty neighbours."""

    name: str
    loop: Loop
    level: str = "ordered"
    neighbours: tuple[Neighbour, Neighbour]


def randperm(entries: int, seed: int) -> list[int]:
    """Said by torch itself, not by the engine."""
    permutation: list[int] = torch.randperm(entries, generator=torch.Generator().manual_seed(seed)).tolist()
    return permutation


def shuffled(entries: int, length: int | None = None) -> Callable[[int], int]:
    """The entry at a position, where each pass is a permutation of its own, cut or filled up from its head."""
    length = entries if length is None else length
    return lambda position: randperm(entries, SEED + position // length)[position % length % entries]


def order(may_repeat: Any = "nothing", name: str = "torch.randperm", seed: int = SEED, **parameters: Any) -> PlanOrder:
    known = [OrderParameter(name=key, value=value) for key, value in sorted(parameters.items())]
    return PlanOrder(kind="derived", name=name, version="1", seed=seed, parameters=known, may_repeat=may_repeat)


def undeclared(why: str) -> PlanOrder:
    return PlanOrder(kind="undeclared", why=why, may_repeat="anything")


def plan(entries: int, by: PlanOrder, *, steps: int, batch: int, **changes: Any) -> SamplingPlan:
    made = SamplingPlan(
        schema_version="psion_ledger.sampling_plan.v1",
        dataset_identity="rows@1",
        families=one_family(entries, TOKENS),
        order=by,
        unit="sequence",
        sequence_tokens=TOKENS,
        token_dtype="uint16",
        targets="all_but_first",
        passes=Passes(sequences=entries, end="spans"),
        batch=BatchRule(schedule=[BatchSize(first_step=1, sequences=batch)], micro_batch_sequences=batch),
        ranks=RankRule(layout="micro_major", take="contiguous"),
        horizon_steps=steps,
        evaluation_sets=[],
        loss_divisor="target_tokens",
        norm_is_global=True,
        rate_is_global=True,
    )
    return msgspec.structs.replace(made, **changes)


def sizes(batch: int, micro: int) -> BatchRule:
    return BatchRule(schedule=[BatchSize(first_step=1, sequences=batch)], micro_batch_sequences=micro)


def loop(own: SamplingPlan, entry: Callable[[int], int], *attempts: Attempt, **more: Any) -> Loop:
    known: dict[str, Any] = {"tokens": lambda entry: TOKENS} | more
    starts = attempts or (Attempt(until=own.horizon_steps),)
    return Loop(contracts=Contracts(sampling_plan=own), entry=entry, attempts=starts, **known)


def swapped(step: int, other: int, rank: int = 0) -> Neighbour:
    return Neighbour(
        fault=f"the batches of steps {step} and {other} changed places", law="batches_follow_the_order", step=step,
        rank=rank,
        made=lambda s: faults.exchanged(s, faults.batches(s, step, rank)[0], faults.batches(s, other, rank)[0]),
    )  # fmt: skip


def lost(step: int, rank: int = 0, nth: int = 0) -> Neighbour:
    return Neighbour(
        fault="a micro batch was lost", law="batches_take_their_positions", step=step, rank=rank,
        made=lambda s: faults.lost(s, faults.batches(s, step, rank)[nth]),
    )  # fmt: skip


def at_positions(step: int, fault: str, rank: int = 0, attempt: int = 1, **changes: Any) -> Neighbour:
    return Neighbour(
        fault=fault, law="batches_take_their_positions", step=step, rank=rank,
        made=lambda s: faults.replaced(s, faults.batches(s, step, rank, attempt)[0], **changes),
    )  # fmt: skip


def at_step(step: int, fault: str, law: str, **changes: Any) -> Neighbour:
    return Neighbour(
        fault=fault, law=law, step=step, rank=0,
        made=lambda s: faults.replaced(s, faults.completed_at(s, step), **changes),
    )  # fmt: skip


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


SAVES = Cadence(every_steps=2, at_start=True, at_end=True)


def _world_change() -> Practice:
    own = plan(64, order(), steps=6, batch=8, checkpoints=SAVES)
    own = msgspec.structs.replace(own, batch=sizes(8, 2))
    return Practice(
        name="the world size changes at a resume",
        loop=loop(
            own, shuffled(64), Attempt(world=2, until=3), Attempt(world=4, cut=2, until=6), checkpoint_every=2
        ),
        neighbours=(
            at_positions(4, "the new world took the old one's cells", rank=1, attempt=2, first_position=28),
            Neighbour(
                fault="the resume went on where the killed attempt had stood", law="batches_follow_the_order", step=3,
                rank=0,
                made=lambda s: faults.repeated(s, faults.batches(s, 3, 0, 2)[0], faults.batches(s, 4, 0, 2)[0]),
            ),
        ),
    )  # fmt: skip


def _resume(where: str, cut: int) -> Practice:
    own = plan(16, order(), steps=8, batch=4, checkpoints=SAVES)
    return Practice(
        name=f"a resume {where} the end of a pass",
        loop=loop(
            own, shuffled(16), Attempt(until=cut + 1), Attempt(cut=cut, until=8), checkpoint_every=2
        ),
        neighbours=(
            Neighbour(
                fault="the resumed loader began its pass anew", law="batches_follow_the_order", step=cut + 1, rank=0,
                made=lambda s: faults.repeated(
                    s, faults.batches(s, cut + 1, 0, 2)[0], faults.batches(s, cut, 0, 1)[0]
                ),
            ),
            Neighbour(
                fault="the resumed loader skipped a batch", law="batches_take_their_positions", step=cut + 1, rank=0,
                made=lambda s: faults.replaced(
                    s, faults.batches(s, cut + 1, 0, 2)[0], first_position=4 * cut + 4
                ),
            ),
        ),
    )  # fmt: skip


def _late() -> Practice:
    own = plan(40, order(), steps=8, batch=4, checkpoints=SAVES)
    return Practice(
        name="a checkpoint was durable three steps late, then a kill, and a resume from it",
        loop=loop(
            own, shuffled(40), Attempt(until=6), Attempt(cut=2, until=8), checkpoint_every=2, late_steps=3
        ),
        neighbours=(
            Neighbour(
                fault="the cursor is where the loop stood when the file was durable",
                law="checkpoints_stand_at_their_cursor", step=2, rank=0,
                made=lambda s: faults.replaced(s, faults.first_of(s, events.CheckpointWritten, 1), cursor_position=20),
            ),
            Neighbour(
                fault="other weights were loaded", law="attempts_resume_from_written_checkpoints", step=None, rank=0,
                made=lambda s: faults.replaced(
                    s, faults.first_of(s, events.CheckpointLoaded), object_sha256=weights(4)
                ),
            ),
        ),
    )  # fmt: skip


def _best() -> Practice:
    held_out = EvaluationSet(
        evaluation_set="held_out", split_name="held_out", source_family_id="text", first_sequence_id=0,
        end_sequence_id=7, stride=2, sequences=4,
    )  # fmt: skip
    own = plan(
        40, order(), steps=6, batch=4, checkpoints=SAVES, evaluations=SAVES, evaluation_sets=[held_out],
        families=one_family(40, TOKENS, held_out=8),
    )  # fmt: skip
    losses = {0: 9_000_000_000, 2: 5_000_000_000, 4: 3_000_000_000, 6: 4_000_000_000}
    promoted = events.CheckpointPromoted(
        checkpoint_id=checkpoint_id(1, 4), label="best", object_sha256=weights(4), criterion="lowest_loss",
        criterion_split="held_out", evaluation_id="e0001-s000004",
    )  # fmt: skip
    return Practice(
        name="the best checkpoint by its criterion is promoted",
        loop=loop(
            own, shuffled(40), checkpoint_every=2, losses=lambda step: losses[step], promoted=promoted
        ),
        neighbours=(
            Neighbour(
                fault="another checkpoint has a lower loss", law="promotion_names_a_written_checkpoint", step=None,
                rank=0,
                made=lambda s: faults.replaced(
                    s, faults.first_of(s, events.SplitLossMeasured, 1), loss_sum_nanonats=1
                ),
            ),
            Neighbour(
                fault="an evaluation of another step is named", law="promotion_rests_on_its_evaluation", step=None,
                rank=0,
                made=lambda s: faults.replaced(
                    s, faults.first_of(s, events.CheckpointPromoted), evaluation_id="e0001-s000002"
                ),
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
    _ranks("micro_major", "contiguous"), _ranks("micro_major", "strided"), _world_change(), _resume("before", 2),
    _resume("at", 4), _resume("after", 6), _late(), _best(), _materialised(), _other_model(), *ORDERS,
)  # fmt: skip
