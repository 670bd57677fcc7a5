-- name: equal_checkpoints
-- about: Checkpoints that count and have the weights of one of a lower step, and a step between the two that updated them
--   with a rate and a gradient norm above 0 (null: there is none).
select b.checkpoint_id, b.step, b.stream, b.seq, a.checkpoint_id as earlier_checkpoint_id, a.step as earlier_step,
  (select min(t.step) from train_steps as t
    where t.step > a.step and t.step <= b.step and t.updated and t.learning_rate > 0 and t.grad_norm > 0) as updated_step
from checkpoints as a
join checkpoints as b on b.object_sha256 = a.object_sha256 and b.step > a.step
where a.effective and b.effective
