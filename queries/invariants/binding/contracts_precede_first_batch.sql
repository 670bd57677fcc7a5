-- name: contracts_precede_first_batch
-- law: The run is started, and every contract declared, before the first batch is consumed.
-- family: binding
-- level: accounted
-- over: promised_contracts
select subject, event_seq, stream, expected, actual
from (
  select c.contract_role as subject, c.seq as event_seq, c.stream,
    'before seq ' || b.seq || ' of ' || b.stream as expected, 'seq ' || c.seq || ' of ' || c.stream as actual, b.stream as by_stream
  from contract_declared as c
  join (
    select stream, attempt, min(seq) as seq from batch_replayed where role = 'train' group by stream, attempt
  ) as b on b.attempt < c.attempt or (b.stream = c.stream and b.seq < c.seq)
  union all
  select n.role, null, null, 'before the first attempt', 'never declared', null
  from promised_contracts as n
  left join contract_declared as c on c.contract_role = n.role
  cross join progress as r
  where c.contract_role is null and r.attempts > 0
  union all
  select 'run_started', null, null, 'before the first attempt', 'never recorded', null
  from progress as r
  where r.attempts > 0 and not exists (select * from run_started)
)
