"""The practices of checkpoints: what a resume goes on from, and which one is promoted."""

import msgspec

from psion_ledger import events
from psion_ledger.contracts import EvaluationSet
from psion_ledger.contracts.sampling_plan import Cadence
from tests.practices import faults
from tests.practices.parts import TOKENS, Neighbour, Practice, at_positions, loop, order, plan, shuffled, sizes
from tests.practices.recorder import Attempt, checkpoint_id, one_family, weights

SAVES = Cadence(every_steps=2, at_start=True, at_end=True)


def world_change() -> Practice:
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


def resume(where: str, cut: int) -> Practice:
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


def late() -> Practice:
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


def best() -> Practice:
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
