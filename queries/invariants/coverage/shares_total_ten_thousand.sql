-- name: shares_total_ten_thousand
-- law: The shares of each split's families sum to 10,000 basis points, and no family lacks one.
-- family: coverage
-- level: accounted
-- over: corpus_splits
-- applies: declared_corpora
select coalesce(s.split_name, 'null') as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  '10000 of tokens, 10000 of sequences' as expected,
  coalesce(h.token_bps || ' of tokens, ' || h.sequence_bps || ' of sequences, ' || h.missing || ' families without', 'none')
    as actual
from corpus_splits as s
left join (
  select split_name, sum(token_share_bps) as token_bps, sum(sequence_share_bps) as sequence_bps,
    count(*) filter (token_share_bps is null or sequence_share_bps is null) as missing
  from split_shares group by split_name
) as h on h.split_name = s.split_name
cross join progress as r
where r.finished and (h.token_bps is distinct from 10000 or h.sequence_bps is distinct from 10000 or h.missing is distinct from 0)
