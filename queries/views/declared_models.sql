-- name: declared_models
-- about: The model that the run promises. No row: it promises none.
select role, schema_version, sha256 from contracts where role = 'model_descriptor'
