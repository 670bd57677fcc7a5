-- name: train_streams
-- about: Every stream that trains: it says from where (`started_seq`, null: it does not), or something of the training
--   itself was recorded there.
select o.stream, o.attempt, o.rank, s.seq as started_seq
from stream_opened as o
left join (select stream, min(seq) as seq from attempt_started group by stream) as s on s.stream = o.stream
where o.role = 'train' and o.seq = 0 and (s.seq is not null
  or exists (select 1 from batch_replayed as b where b.stream = o.stream)
  or exists (select 1 from batch_skipped as b where b.stream = o.stream)
  or exists (select 1 from step_completed as c where c.stream = o.stream)
  or exists (select 1 from split_loss_measured as e where e.stream = o.stream)
  or exists (select 1 from checkpoint_written as w where w.stream = o.stream)
  or exists (select 1 from checkpoint_loaded as l where l.stream = o.stream))
