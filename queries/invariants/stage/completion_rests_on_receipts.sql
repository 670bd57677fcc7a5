-- name: completion_rests_on_receipts
-- law: A completed stage names receipts that were recorded before, by the digest of their bytes.
-- family: stage
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select s.stage_id as subject, s.completed_seq as event_seq, s.completed_stream as stream,
  'receipts recorded before seq ' || s.completed_seq as expected,
  coalesce('receipt ' || lower(hex(n.sha256)) || coalesce(' at seq ' || r.seq, ' was never recorded'), 'no receipt') as actual
from completed_stages as s
left join completion_streams as c on c.stream = s.completed_stream
left join (
  select stage_id, unnest(receipt_sha256s) as sha256 from completed_stages
) as n on n.stage_id = s.stage_id
left join (
  select r.*, o.number from receipt_recorded as r join completion_streams as o on o.stream = r.stream
) as r on r.sha256 = n.sha256 and (r.number < c.number or (r.stream = s.completed_stream and r.seq < s.completed_seq))
where r.seq is null or sha256(r.document) is distinct from lower(hex(r.sha256))
union all
select coalesce(c.stage_id, 'null'), null, null, 'a completed stage', 'the run is finished, and its stage is not completed'
from stage_config as c
cross join progress as r
where r.finished and not exists (select * from completed_stages)
