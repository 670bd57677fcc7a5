-- name: checkpoint_files_hold_their_digests
-- law: The files of each checkpoint that is kept, and at hand, still have the digests that were recorded.
-- family: lineage
-- level: accounted
-- over: checkpoint_files
-- applies: checkpoints_at_stake
-- needs: checkpoint_files
select path as subject, event_seq, stream, sha256_expected as expected, coalesce(sha256_actual, 'missing') as actual
from checkpoint_files
where sha256_actual is distinct from sha256_expected
