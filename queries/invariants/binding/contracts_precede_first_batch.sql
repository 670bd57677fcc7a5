-- name: contracts_precede_first_batch
-- law: Every contract is declared before the first batch is consumed.
-- family: binding
-- level: accounted
-- over: contracts
select c.contract_role as subject, c.seq as event_seq, c.stream,
  'before seq ' || b.seq || ' of ' || b.stream as expected, 'seq ' || c.seq || ' of ' || c.stream as actual
from contract_declared as c
join (
  select stream, attempt, min(seq) as seq from batch_replayed where role = 'train' group by stream, attempt
) as b on b.attempt < c.attempt or (b.stream = c.stream and b.seq < c.seq)
order by c.contract_role, b.stream
