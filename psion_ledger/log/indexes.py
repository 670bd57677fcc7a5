"""The columns of the index files that contracts name: of sequences, or of the documents that windows are cut from."""

import pyarrow as pa

SEQUENCE_INDEX_SCHEMA = pa.schema(
    [
        pa.field("sequence_id", pa.int64(), nullable=False),
        pa.field("split_name", pa.string(), nullable=False),
        pa.field("source_family_id", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("token_sha256", pa.binary(32)),
        pa.field(
            "documents",
            pa.list_(
                pa.struct(
                    [
                        ("source_id", pa.string()),
                        ("document_id", pa.string()),
                        ("first_token", pa.int64()),
                        ("tokens", pa.int32()),
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)
# Where sequences are windows: each document's place among the tokens of its split and family.
DOCUMENT_INDEX_SCHEMA = pa.schema(
    [
        pa.field("split_name", pa.string(), nullable=False),
        pa.field("source_family_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("first_token", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)
INDEXES = {"sequence_index": SEQUENCE_INDEX_SCHEMA, "document_index": DOCUMENT_INDEX_SCHEMA}
