-- name: consumed_tokens_are_the_sequences
-- law: The tokens that batches claim for a family are the tokens of the sequences drawn from it.
-- family: coverage
-- level: accounted
-- over: plan_families
-- applies: indexed_plans
select coalesce(w.source_family_id, s.source_family_id, c.source_family_id, 'null') as subject,
  cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  coalesce(s.tokens, 0) || ' tokens' as expected, coalesce(c.tokens, 0) || ' tokens' as actual
from (select source_family_id from plan_families where split_kind = 'train') as w
full join (
  select source_family_id, sum(tokens) as tokens from family_sequences group by source_family_id
) as s on s.source_family_id = w.source_family_id
full join family_consumption as c on c.source_family_id = coalesce(w.source_family_id, s.source_family_id)
where coalesce(c.tokens, 0) is distinct from coalesce(s.tokens, 0)
union all
select 'step ' || step, seq, stream, expected, actual from undrawn_steps
