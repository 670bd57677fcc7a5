-- name: source_shares_are_within_caps
-- law: No source has more of a finished run's training tokens than its cap, but for one sequence of rounding.
-- family: coverage
-- level: accounted
-- over: source_caps
-- applies: sampling_policy
select s.source_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'at most ' || coalesce(cast(s.maximum_source_token_share_bps as varchar), 'null') || ' bps of ' || t.tokens || ' tokens' as expected,
  c.tokens || ' tokens' as actual
from source_caps as s
join (select source_id, sum(tokens) as tokens from source_consumption group by source_id) as c on c.source_id = s.source_id
cross join (select sum(tokens) as tokens from source_consumption) as t
cross join sampling_plan as p
cross join progress as r
where r.finished and not coalesce((c.tokens::hugeint - coalesce(p.sequence_tokens, 0)) * 10000 <= t.tokens * s.maximum_source_token_share_bps, false)
union all
select 'step ' || u.step, u.seq, u.stream, u.expected, u.actual
from undrawn_steps as u
cross join progress as r
where r.finished
