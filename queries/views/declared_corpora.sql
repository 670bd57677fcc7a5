-- name: declared_corpora
-- about: The corpus that the run promises. No row: it promises none.
select role, sha256 from contracts where role = 'tokenized_corpus'
