"""Tokens, packing and shards: nothing lost, nothing shared, and the same bytes every time."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.tiny import write_corpus
from trainer import tokenizer as tokenizers
from trainer.config import BadInput, Damaged
from trainer.corpus import load_documents
from trainer.document import Document
from trainer.tokenizer import (
    END_OF_TEXT,
    Shards,
    pack,
    sequence_index,
    token_dtype,
    train_tokenizer,
    write_shards,
)

CONTEXT = 16


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return load_documents(str(write_corpus(tmp_path_factory.mktemp("corpus") / "text")))


def document(split: str, family: str, number: int, text: str) -> Document:
    return Document(
        split=split, source_family_id=family, source_id=f"{family}/s", document_id=f"{number:03}", text=text
    )


def test_training_a_tokenizer_twice_gives_the_same_bytes(documents: list[Document]) -> None:
    """Equal text, equal tokenizer; it never saw the other splits."""
    train = [d for d in documents if d.split == "train"]
    texts = {train_tokenizer(some, 300).to_str() for some in (documents, documents, train)}
    assert len(texts) == 1


@given(text=st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    """Bytes are the alphabet, so nothing is unknown; the end-of-text token is not read from a text."""
    encoded = ALPHABET.encode(text + END_OF_TEXT, add_special_tokens=False)
    assert ALPHABET.decode(encoded.ids, skip_special_tokens=False) == text + END_OF_TEXT
    assert ALPHABET.token_to_id(END_OF_TEXT) not in encoded.ids


ALPHABET = train_tokenizer([document("train", "prose", 0, "some text")], 257)


def test_packing_joins_documents_in_order_and_counts_the_tail(documents: list[Document]) -> None:
    """Sequences and tail together are the family's documents, each behind its end-of-text token."""
    tokenizer = train_tokenizer(documents, 300)
    end = tokenizer.token_to_id(END_OF_TEXT)
    for group in pack(documents, tokenizer, CONTEXT):
        members = [d for d in documents if (d.split, d.source_family_id) == (group.split, group.source_family_id)]
        joined = [token for d in members for token in (*tokenizer.encode(d.text).ids, end)]
        assert group.rows.ravel().tolist() == joined[: group.rows.size]
        assert group.rows.size + group.tail_tokens == len(joined)
        assert group.tail_tokens < CONTEXT


def test_the_parts_of_a_sequence_are_its_documents(documents: list[Document]) -> None:
    """The parts fill each sequence; a document's, over all sequences, follow one another to its end or to the tail."""
    tokenizer = train_tokenizer(documents, 300)
    for group in pack(documents, tokenizer, CONTEXT):
        assert [sum(tokens for *_, tokens in parts) for parts in group.parts] == [CONTEXT] * len(group.parts)
        counted: dict[str, int] = {}
        for parts in group.parts:
            for _, document_id, first, tokens in parts:
                assert first == counted.get(document_id, 0)
                counted[document_id] = first + tokens
        members = [d for d in documents if d.document_id in counted and d.split == group.split]
        lengths = {d.document_id: len(tokenizer.encode(d.text).ids) + 1 for d in members}
        missing = {name: lengths[name] - counted[name] for name in counted if lengths[name] != counted[name]}
        assert len(missing) <= 1
        assert sum(missing.values()) <= group.tail_tokens


def test_what_is_measured_is_never_what_is_trained_on() -> None:
    """A held-out sequence with the tokens of a training sequence is left out, and counted."""
    shared, own = "abcdefghijklmno", "ponmlkjihgfedcb"
    groups = pack(
        [
            document("held_out", "held_out_x", 0, shared),
            document("held_out", "held_out_x", 1, own),
            document("train", "x", 0, shared),
        ],
        ALPHABET,
        CONTEXT,
    )
    held_out = groups[0]
    assert (len(held_out.parts), held_out.repeats) == (1, 1)
    assert held_out.parts[0] == [("held_out_x/s", "001", 0, CONTEXT)]
    assert held_out.digests == [hashlib.sha256(held_out.rows[0].astype("<u4").tobytes()).digest()]


def test_a_split_without_one_sequence_is_refused() -> None:
    """The line says which family, how many tokens it has, and what to do."""
    with pytest.raises(BadInput) as refused:
        pack([document("validation", "x", 0, "abc")], ALPHABET, CONTEXT)
    assert str(refused.value) == (
        "the corpus is too small to split: family 'x' has 4 tokens in its validation split, and one sequence "
        "takes 16; add text, or give a smaller --context"
    )


def test_shards_hold_the_sequences(documents: list[Document], tmp_path: Path) -> None:
    """Dense ids over the sorted (split, family) pairs; rows come back as they went in."""
    tokenizer = train_tokenizer(documents, 300)
    packed = pack(documents, tokenizer, CONTEXT)
    shards, tokenizer_sha256 = write_shards(tmp_path, packed, tokenizer)
    assert [(s.split, s.source_family_id) for s in shards] == sorted((s.split, s.source_family_id) for s in shards)
    assert [s.first_sequence_id for s in shards] == [0, *(s.end_sequence_id for s in shards[:-1])]
    assert hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest() == tokenizer_sha256
    everything = np.concatenate([group.rows for group in packed])
    opened = Shards(tmp_path, shards, CONTEXT, tokenizer.get_vocab_size())
    ids = list(range(len(everything)))[::-3]
    assert opened.rows(ids).tolist() == everything[ids].tolist()
    assert opened.rows(ids).dtype == np.dtype("<u4")


def test_a_changed_shard_is_not_read(documents: list[Document], tmp_path: Path) -> None:
    """One flipped bit, or a missing file, is named."""
    tokenizer = train_tokenizer(documents, 300)
    shards, _ = write_shards(tmp_path, pack(documents, tokenizer, CONTEXT), tokenizer)
    path = tmp_path / f"{shards[1].shard_id}.bin"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=f"{shards[1].shard_id}.bin has sha256 .*; restore it"):
        Shards(tmp_path, shards, CONTEXT, 300)
    with pytest.raises(Damaged, match="No such file or directory; name the run's artifacts"):
        Shards(tmp_path, [replace(shards[0], shard_id="elsewhere")], CONTEXT, 300)


def test_wide_vocabularies_take_four_bytes() -> None:
    """65,536 ids fit two bytes, one more does not; both little-endian."""
    assert [token_dtype(vocab).str for vocab in (2**16, 2**16 + 1)] == ["<u2", "<u4"]


def index_rows(files: list[tuple[bytes, int]]) -> list[dict[str, Any]]:
    """The rows of an index, file by file; each has as many as it is said to have."""
    found = []
    for data, rows in files:
        read = pq.read_table(io.BytesIO(data)).to_pylist()
        assert len(read) == rows
        found += read
    return found


def test_the_index_says_what_each_sequence_is(documents: list[Document]) -> None:
    """One row a sequence, in id order, with the digest of its tokens; the same bytes every time."""
    packed = pack(documents, train_tokenizer(documents, 300), CONTEXT)
    (file,) = sequence_index(packed)
    assert sequence_index(packed) == [file]
    rows = index_rows([file])
    assert [row["sequence_id"] for row in rows] == list(range(len(rows)))
    sequences = [(group, number) for group in packed for number in range(len(group.parts))]
    assert [(row["split_name"], row["source_family_id"], row["tokens"], row["token_sha256"]) for row in rows] == [
        (group.split, group.source_family_id, CONTEXT, hashlib.sha256(group.rows[number].tobytes()).digest())
        for group, number in sequences
    ]
    assert [
        [(part["source_id"], part["document_id"], part["first_token"], part["tokens"]) for part in row["documents"]]
        for row in rows
    ] == [group.parts[number] for group, number in sequences]


@pytest.mark.parametrize("rows_a_file", [1, 7, 10_000])
def test_a_large_index_is_cut_into_files(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch, rows_a_file: int
) -> None:
    """None is larger than it may be, and together they are the whole."""
    packed = pack(documents, train_tokenizer(documents, 300), CONTEXT)
    whole = index_rows(sequence_index(packed))
    monkeypatch.setattr(tokenizers, "INDEX_ROWS_A_PART", rows_a_file)
    files = sequence_index(packed)
    assert -(-len(whole) // rows_a_file) == len(files)
    assert whole == index_rows(files)
