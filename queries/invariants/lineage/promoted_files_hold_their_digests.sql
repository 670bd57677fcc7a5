-- name: promoted_files_hold_their_digests
-- law: The promoted checkpoint's files still have the digests that were recorded.
-- family: lineage
-- level: accounted
-- over: promoted_files
-- applies: promotions_at_stake
-- needs: promoted_files
select path as subject, event_seq, stream, sha256_expected as expected, coalesce(sha256_actual, 'missing') as actual
from promoted_files
where sha256_actual is distinct from sha256_expected
order by path
