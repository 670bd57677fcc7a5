-- name: sequence_uses
-- about: How often each sequence was drawn in each pass over its family. The pass follows from the position alone.
--   Positions stop at 2**62, far beyond any that is planned: positions_tile says which they are.
-- materialise: true
select u.sequence_id, u.slot_family_id, u.draw // n.sequences as pass_number, u.skipped,
  count(*) as uses, min(u.position) as first_position, min(u.step) as first_step
from (
  select d.sequence_id, d.position, d.skipped, d.step, c.source_family_id as slot_family_id,
    (d.position // 10000) * least(c.sampling_weight_bps, 10000) + c.draw_in_cycle as draw
  from (
    select unnest(b.sequence_ids) as sequence_id, b.skipped, b.step,
      least(b.first_position, 4611686018427387904) + generate_subscripts(b.sequence_ids, 1) - 1 as position
    from drawn_batches as b
    cross join progress as r
    where r.finished or b.step <= r.due_step
  ) as d
  left join cycle_slots as c on c.slot = d.position % 10000
) as u
left join plan_families as n on n.source_family_id = u.slot_family_id and n.split_kind = 'train'
group by u.sequence_id, u.slot_family_id, u.draw // n.sequences, u.skipped
