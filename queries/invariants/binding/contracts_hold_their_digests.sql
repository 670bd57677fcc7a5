-- name: contracts_hold_their_digests
-- law: Each contract's document has the sha256 that was declared for it; the plan names the index's.
-- family: binding
-- level: accounted
-- over: required_contracts
select coalesce(c.contract_role, n.role) as subject, c.seq as event_seq, c.stream,
  coalesce(lower(hex(c.sha256)), 'a declaration') as expected,
  coalesce(case when c.contract_role = 'sequence_index' then p.sequence_index_sha256 else sha256(c.document) end, 'no document')
    as actual
from required_contracts as n
full join contract_declared as c on c.contract_role = n.role
left join sampling_plan as p on true
cross join progress as r
where case when c.contract_role is null then r.attempts > 0
  else case when c.contract_role = 'sequence_index' then p.sequence_index_sha256 else sha256(c.document) end
    is distinct from lower(hex(c.sha256)) end
order by subject, c.stream, c.seq
