-- name: family_shares_are_within_caps
-- law: No family has more of the training tokens than its cap, but for one sequence of rounding.
-- family: coverage
-- level: accounted
-- over: family_weights
select w.source_family_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'at most ' || coalesce(cast(w.maximum_family_token_share_bps as varchar), 'null') || ' bps of ' || t.tokens || ' tokens' as expected,
  c.tokens || ' tokens' as actual
from family_weights as w
join family_consumption as c on c.source_family_id = w.source_family_id
cross join (select sum(tokens) as tokens from family_consumption) as t
cross join sampling_plan as p
where not coalesce((c.tokens - p.sequence_tokens) * 10000 <= t.tokens * w.maximum_family_token_share_bps, false)
order by w.source_family_id
