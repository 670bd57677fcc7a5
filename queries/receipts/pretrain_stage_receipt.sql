-- name: pretrain_stage_receipt
-- about: What the pretrain stage receipt says, one row; the digests over it are computed where the document is written.
--   The devices are those of all ranks, each once. Step times that are negative, or no finite number of milliseconds, are left out of their mean (0 without any).
-- derivation: 1
select c.run_id, c.stage_id, c.stage_kind, c.model_id, c.model_descriptor_digest, c.tokenizer_binding_digest,
  c.dataset_identity, c.sampling_policy_id, c.sampling_policy_version, c.objective_config,
  (select list(struct_pack(
      split_name := f.split_name, split_kind := f.split_kind, source_family_id := f.source_family_id,
      source_ids := case when f.split_kind = 'train' then t.source_ids else f.source_ids end,
      token_share_bps := h.token_share_bps, sequence_share_bps := h.sequence_share_bps,
      tokens := h.tokens, sequences := h.sequences,
      loss_sum_nanonats := f.loss_sum_nanonats, target_tokens := f.target_tokens)
      order by f.split_name, f.source_family_id)
    from final_split_loss as f
    left join split_shares as h on h.split_name = f.split_name and h.source_family_id = f.source_family_id
    left join (
      select source_family_id, list(source_id order by source_id) as source_ids from source_consumption
      group by source_family_id
    ) as t on t.source_family_id = f.source_family_id
  ) as source_family_reports,
  k.stable_dataset_identity, k.iteration_mode, k.shard_ordering, k.deterministic_shuffle_seed,
  v.successful_replays, v.successful_replays > 0 and v.differing = 0 as exact_replay_observed,
  p.checkpoint_id, p.checkpoint_family, p.files, p.object_sha256, p.writer_node_id, p.attempt as membership_epoch,
  p.started_at_ns, p.durable_at_ns, p.step, p.label,
  s.base_checkpoint_id,
  a.world_size,
  (select list(o.host order by o.rank) from stream_opened as o where o.role = 'train' and o.attempt = p.attempt) as hosts,
  g.devices,
  (select count(distinct step) from train_steps) as steps,
  (select sum(tokens) from family_consumption) as tokens,
  (select coalesce(try_cast(sum(ms) as double) / nullif(count(ms), 0), 0)
    from (select try_cast(step_ms as decimal(18, 3)) as ms from train_steps where rank = 0 and step_ms >= 0)) as step_ms_mean
from stage_config as c
left join tokenized_corpus as k on true
left join (
  select count(*) filter (exact) as successful_replays, count(*) filter (differs) as differing from verification_passes
) as v on true
left join promoted_checkpoint as p on true
left join stages as s on s.stage_id = c.stage_id
left join attempts as a on a.attempt = p.attempt
left join (
  select attempt, list(device order by rank, place) as devices
  from (
    select attempt, rank, place, devices[place] as device
    from (
      select attempt, rank, devices from attempt_started where role = 'train'
      qualify row_number() over (partition by attempt, rank order by seq) = 1
    ), unnest(range(1, len(devices) + 1)) as p (place)
    qualify row_number() over (partition by attempt, devices[place].stable_device_id order by rank, place) = 1
  )
  group by attempt
) as g on g.attempt = p.attempt
