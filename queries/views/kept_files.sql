-- name: kept_files
-- about: The files of the checkpoints that were not removed, each as it was written last under its path, and whether the
--   checkpoint is the promoted one.
select f.checkpoint_id, f.file.path as path, f.file.bytes as bytes, f.file.sha256 as sha256, f.stream, f.seq,
  f.checkpoint_id is not distinct from p.checkpoint_id as promoted
from (
  select checkpoint_id, attempt, stream, seq, unnest(files) as file from checkpoint_written
) as f
left join (select checkpoint_id from promoted_checkpoint) as p on true
where f.checkpoint_id is not distinct from p.checkpoint_id
  or not exists (select 1 from checkpoint_removed as r where r.checkpoint_id = f.checkpoint_id)
qualify row_number() over (partition by f.file.path order by f.attempt desc, f.seq desc) = 1
