-- name: contracts_hold_their_digests
-- law: Each contract's document has the sha256 that was declared for it; the plan names the index's.
-- family: binding
-- level: accounted
-- over: contract_declared
select c.contract_role as subject, c.seq as event_seq, c.stream, lower(hex(c.sha256)) as expected,
  coalesce(case when c.contract_role = 'sequence_index' then p.sequence_index_sha256 else sha256(c.document) end, 'no document')
    as actual
from contract_declared as c
left join sampling_plan as p on true
where case when c.contract_role = 'sequence_index' then p.sequence_index_sha256 else sha256(c.document) end
  is distinct from lower(hex(c.sha256))
order by c.contract_role, c.stream, c.seq
