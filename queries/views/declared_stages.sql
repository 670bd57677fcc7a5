-- name: declared_stages
-- about: The stage that the run promises. No row: it promises none.
select role, sha256 from contracts where role = 'stage_config'
