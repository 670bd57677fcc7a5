"""From documents to sequences: train a byte-level BPE, pack, write shards and the sequence index.

A document's tokens end with the end-of-text token. Within one (split, family) the documents are joined in id
order and cut into sequences of one fixed length; the tail that fills no sequence is counted and left out.
Sequence ids are dense from 0 over all (split, family) pairs in sorted order. On disk a shard is one pair's
sequences as raw little-endian integers, memory-mapped when read.

Source: Sennrich, Haddow and Birch 2016 (BPE); Radford et al. 2019 (over bytes).
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trainer.config import BadInput, Damaged
from trainer.document import Document
from trainer.files import open_recorded, write_durably

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILE = "tokenizer.json"

INDEX_ROWS_A_PART = 400_000

Tokens = NDArray[np.uint32]
Part = tuple[str, str, int, int]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The sequences of one (split, family). `rows` is [sequences, context], ids as little-endian uint32.

    `parts` says for each sequence whose tokens stand in it: (source id, document id, first token of the document,
    tokens). `tail_tokens`
    filled no sequence. `repeats` is how many sequences were left out because training sees the same tokens.
    """

    split: str
    source_family_id: str
    rows: Tokens
    parts: list[list[Part]]
    digests: list[bytes]
    tail_tokens: int
    repeats: int = 0

    @property
    def source_ids(self) -> list[str]:
        return sorted({source_id for parts in self.parts for source_id, *_ in parts})


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of sequences, [first_sequence_id, end_sequence_id). `sha256` (hex) is of the file."""

    shard_id: str
    split: str
    source_family_id: str
    first_sequence_id: int
    end_sequence_id: int
    sha256: str


def train_tokenizer(documents: Sequence[Document], vocab: int) -> Tokenizer:
    """A byte-level BPE of at most `vocab` tokens, from the train split alone. Equal text, equal tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((document.text for document in documents if document.split == "train"), trainer)
    # A document that spells the end-of-text token does not end there.
    tokenizer.encode_special_tokens = True
    return tokenizer


def pack(documents: Sequence[Document], tokenizer: Tokenizer, context: int) -> list[Packed]:
    """The sequences of every (split, family), sorted; `documents` are. Raises BadInput when one has none."""
    packed = []
    for (split, family), members in groupby(
        documents, key=lambda document: (document.split, document.source_family_id)
    ):
        group = _packed_group(split, family, list(members), tokenizer, context)
        if not group.parts:
            raise BadInput(
                f"the corpus is too small to split: family {family!r} has {group.tail_tokens} tokens in its "
                f"{split} split, and one sequence takes {context}; add text, or give a smaller --context"
            )
        packed.append(group)
    trained_on = {digest for group in packed if group.split == "train" for digest in group.digests}
    return [group if group.split == "train" else _without(group, trained_on) for group in packed]


def _packed_group(split: str, family: str, documents: list[Document], tokenizer: Tokenizer, context: int) -> Packed:
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    encodings = tokenizer.encode_batch_fast([document.text for document in documents], add_special_tokens=False)
    ids = [[*encoding.ids, end_of_text] for encoding in encodings]
    joined = np.concatenate([np.array(part, dtype="<u4") for part in ids])
    sequences, tail_tokens = divmod(len(joined), context)
    rows: Tokens = joined[: sequences * context].reshape(sequences, context)
    parts: list[list[Part]] = [[] for _ in range(sequences)]
    first = 0
    for document, part in zip(documents, ids, strict=True):
        end = first + len(part)
        for sequence in range(first // context, min(sequences, (end - 1) // context + 1)):
            begin = max(first, sequence * context)
            tokens = min(end, (sequence + 1) * context) - begin
            parts[sequence].append((document.source_id, document.document_id, begin - first, tokens))
        first = end
    digests = [hashlib.sha256(row.tobytes()).digest() for row in rows]
    return Packed(
        split=split, source_family_id=family, rows=rows, parts=parts, digests=digests, tail_tokens=tail_tokens
    )


def _without(group: Packed, trained_on: set[bytes]) -> Packed:
    """The group without the sequences that training sees too: what is measured is isolated by content."""
    kept = [row for row, digest in enumerate(group.digests) if digest not in trained_on]
    if not kept:
        raise BadInput(
            f"every {group.split} sequence of family {group.source_family_id!r} is also in the train split; "
            "add different text"
        )
    return Packed(
        split=group.split,
        source_family_id=group.source_family_id,
        rows=group.rows[kept],
        parts=[group.parts[row] for row in kept],
        digests=[group.digests[row] for row in kept],
        tail_tokens=group.tail_tokens,
        repeats=len(group.parts) - len(kept),
    )


def write_shards(folder: Path, packed: Sequence[Packed], tokenizer: Tokenizer) -> tuple[list[Shard], str]:
    """Write a durable file per group, and the tokenizer; returns the shards and the tokenizer's sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    dtype = token_dtype(tokenizer.get_vocab_size())
    shards, first = [], 0
    for number, group in enumerate(packed, start=1):
        shard_id = f"{group.split}-{number:04}"
        data = group.rows.astype(dtype).tobytes()
        write_durably(folder / f"{shard_id}.bin", data)
        shards.append(
            Shard(
                shard_id=shard_id,
                split=group.split,
                source_family_id=group.source_family_id,
                first_sequence_id=first,
                end_sequence_id=first + len(group.parts),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )
        first += len(group.parts)
    text = tokenizer.to_str(pretty=True).encode()
    write_durably(folder / TOKENIZER_FILE, text)
    return shards, hashlib.sha256(text).hexdigest()


def token_dtype(vocab: int) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
    """The little-endian type of an id on disk."""
    return np.dtype("<u2") if vocab <= 2**16 else np.dtype("<u4")


def sequence_index(packed: Sequence[Packed]) -> list[tuple[bytes, int]]:
    """The sequence index as Parquet files, each with its rows: what stands in each sequence, and the sha256 of its ids
    as uint32."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    document = pa.struct(
        [("source_id", pa.string()), ("document_id", pa.string()), ("first_token", pa.int64()), ("tokens", pa.int32())]
    )
    names = ("source_id", "document_id", "first_token", "tokens")
    columns = {
        "sequence_id": pa.int64(),
        "split_name": pa.string(),
        "source_family_id": pa.string(),
        "tokens": pa.int32(),
        "token_sha256": pa.binary(32),
        "documents": pa.list_(document),
    }
    schema = pa.schema([pa.field(name, kind, nullable=name == "token_sha256") for name, kind in columns.items()])
    keys = [(group.split, group.source_family_id) for group in packed for _ in group.parts]
    table = pa.table(
        [
            range(len(keys)),
            [split for split, _ in keys],
            [family for _, family in keys],
            [group.rows.shape[1] for group in packed for _ in group.parts],
            [digest for group in packed for digest in group.digests],
            [[dict(zip(names, part, strict=True)) for part in parts] for group in packed for parts in group.parts],
        ],
        schema=schema,
    )
    files = []
    for first in range(0, len(keys), INDEX_ROWS_A_PART):
        data, rows = io.BytesIO(), table.slice(first, INDEX_ROWS_A_PART)
        pq.write_table(rows, data, compression="zstd")
        files.append((data.getvalue(), rows.num_rows))
    return files


def promised_shards(plan: dict[str, Any], manifest: dict[str, Any]) -> list[Shard]:
    """The shard files of the plan's families, one each, as `write_shards` made them."""
    digests = {shard["shard_id"]: shard["shard_digest"].removeprefix("sha256:") for shard in manifest["shards"]}
    return [
        Shard(
            shard_id=row["shard_ids"][0],
            split=row["split_name"],
            source_family_id=row["source_family_id"],
            first_sequence_id=row["first_sequence_id"],
            end_sequence_id=row["end_sequence_id"],
            sha256=digests[row["shard_ids"][0]],
        )
        for row in plan["families"]
    ]


class Shards:
    """The sequences of a corpus folder, memory-mapped in the opening that was checked against their digests."""

    def __init__(self, folder: Path, shards: Sequence[Shard], context: int, vocab: int) -> None:
        self._parts: list[tuple[int, int, NDArray[np.uint16] | NDArray[np.uint32]]] = []
        for shard in shards:
            name = f"{shard.shard_id}.bin"
            sequences, dtype = shard.end_sequence_id - shard.first_sequence_id, token_dtype(vocab)
            bytes_expected = sequences * context * dtype.itemsize
            with open_recorded(folder, name) as file:
                if (size := os.fstat(file.fileno()).st_size) != bytes_expected:
                    raise Damaged(f"shard {folder / name} has {size:,} bytes, not {bytes_expected:,}; restore it")
                if (found := hashlib.file_digest(file, "sha256").hexdigest()) != shard.sha256:
                    raise Damaged(
                        f"shard {folder / name} has sha256 {found}, and the contracts say {shard.sha256}; restore it"
                    )
                rows = np.memmap(file, dtype=dtype, mode="r", shape=(sequences, context))
            self._parts.append((shard.first_sequence_id, shard.end_sequence_id, rows))

    def rows(self, sequence_ids: Sequence[int]) -> Tokens:
        """The sequences, [len(sequence_ids), context], ids as little-endian uint32."""
        return np.stack([self._row(sequence_id) for sequence_id in sequence_ids]).astype("<u4")

    def _row(self, sequence_id: int) -> NDArray[np.uint16] | NDArray[np.uint32]:
        for first, end, rows in self._parts:
            if first <= sequence_id < end:
                row: NDArray[np.uint16] | NDArray[np.uint32] = rows[sequence_id - first]
                return row
        raise AssertionError(f"sequence {sequence_id} is in no shard of the plan")
