-- name: family_shares_are_within_caps
-- law: No family has more of a finished run's training tokens than its cap, but for one sequence of rounding.
-- family: coverage
-- level: accounted
-- over: family_weights
-- applies: sampling_policy
select c.source_family_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'at most ' || coalesce(cast(w.maximum_family_token_share_bps as varchar), 'null') || ' bps of ' || t.tokens || ' tokens' as expected,
  c.tokens || ' tokens' as actual
from family_consumption as c
left join family_weights as w on w.source_family_id = c.source_family_id
cross join (select sum(tokens) as tokens from family_consumption) as t
cross join sampling_plan as p
cross join progress as r
where r.finished and not coalesce((c.tokens::hugeint - coalesce(p.sequence_tokens, 0)) * 10000 <= t.tokens * w.maximum_family_token_share_bps, false)
union all
select 'step ' || u.step, u.seq, u.stream, u.expected, u.actual
from undrawn_steps as u
cross join progress as r
where r.finished
