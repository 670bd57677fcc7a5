"""What is described of token data is what plain numpy counts in it, format by format."""

import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger import data
from psion_ledger.contracts import Contracts, SamplingPlan, check_documents
from psion_ledger.data import Data, Tokens, describe
from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.log.indexes import DOCUMENT_INDEX_SCHEMA, SEQUENCE_INDEX_SCHEMA
from tests.data.writing import (
    EVEN,
    FORMATS,
    LENGTH,
    OF_ONE_LENGTH,
    STREAMS,
    UNEVEN,
    digest,
    rows_for,
    source,
    write,
    write_datasets,
    write_megatron,
)
from tests.practices.parts import order
from tests.practices.parts import plan as planned


def plan_of(found: Data) -> SamplingPlan:
    """A plan over what was described; nothing of it but the data matters."""
    own = planned(found.families[0].sequences, order(), steps=1, batch=1, token_dtype=None)
    return msgspec.structs.replace(
        own, families=found.families, dataset_identity=found.dataset_identity, unit=found.unit,
        sequence_tokens=found.sequence_tokens,
    )  # fmt: skip


def index_of(found: Data) -> list[dict[str, Any]]:
    schema = DOCUMENT_INDEX_SCHEMA if found.unit == "window" else SEQUENCE_INDEX_SCHEMA
    rows = list[dict[str, Any]]()
    for part, count in found.index_parts():
        table = pq.read_table(io.BytesIO(part))
        assert (table.schema.remove_metadata(), table.num_rows) == (schema, count)
        rows += table.to_pylist()
    return rows


def agrees(found: Data, rows: list[list[int]]) -> None:
    """The families, the index and what is read back are these rows, in this order."""
    assert found.token_data is not None
    assert check_documents(Contracts(sampling_plan=plan_of(found), token_data=found.token_data)) == []
    assert [row["sequence_id"] for row in index_of(found)] == list(range(len(rows)))
    assert [(row["tokens"], row["token_sha256"]) for row in index_of(found)] == [(len(r), digest(r)) for r in rows]
    tokens = Tokens(plan_of(found), found.token_data, found.root)
    asked = [*range(len(rows)), len(rows) - 1, 0]
    families, total, found_digest = tokens.content(asked)
    assert (total, found_digest) == (sum(len(rows[i]) for i in asked), digest(*(rows[i] for i in asked)))
    assert sum(family.tokens for family in families) == total
    with pytest.raises(CannotDecide):
        tokens.content([len(rows)])
    tokens.close()


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_holds_the_rows_that_were_written(tmp_path: Path, kind: str) -> None:
    """Described, indexed and read back."""
    rows = rows_for(kind)
    path = write(tmp_path, kind, rows)
    found = describe(source(kind, path), sequence_tokens=LENGTH if kind in STREAMS else None)
    (family,) = found.families
    assert (family.split_name, family.source_family_id, family.sequences) == ("train", "text", len(rows))
    assert (found.sequence_tokens, found.tail_tokens) == (LENGTH if kind in OF_ONE_LENGTH else None, 0)
    agrees(found, rows)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("length", [1, 4, 7])
def test_windows_are_neighbours_in_all_files_of_a_family(tmp_path: Path, kind: str, length: int) -> None:
    """A window may end in another file than it begins in; each file is a document."""
    parts = [rows_for(kind)[:1], rows_for(kind)[1:4], rows_for(kind)[4:]]
    own = [source(kind, write(tmp_path, kind, part, f"part-{n}")) for n, part in enumerate(parts)]
    found = describe(own, sequence_tokens=length, unit="window")
    stream = [token for row in rows_for(kind) for token in row]
    (family,) = found.families
    assert (family.sequences, family.tokens) == (len(stream) - length + 1, len(stream))
    assert found.token_data is not None
    assert check_documents(Contracts(sampling_plan=plan_of(found), token_data=found.token_data)) == []
    documents = index_of(found)
    ends = np.cumsum([row["tokens"] for row in documents]).tolist()
    assert ([row["first_token"] for row in documents], ends[-1]) == ([0, *ends[:-1]], len(stream))
    tokens = Tokens(plan_of(found), found.token_data, found.root)
    for begin in range(family.sequences):
        assert tokens.content([begin])[1:] == (length, digest(stream[begin : begin + length]))
    with pytest.raises(CannotDecide):
        tokens.content([family.sequences])


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), length=st.integers(1, 12), kind=st.sampled_from(STREAMS)
)
def test_streams_are_cut_as_one_would_by_hand(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], length: int, kind: str
) -> None:
    """Each file by itself, its tail left out and counted; a file without a whole sequence is refused."""
    folder = tmp_path_factory.mktemp("cut")
    streams = [list(range(1000 * n, 1000 * n + size)) for n, size in enumerate(sizes)]
    own = [source(kind, write(folder, kind, [stream], f"{n}")) for n, stream in enumerate(streams)]
    if min(sizes) < length:
        with pytest.raises(UsageError):
            describe(own, sequence_tokens=length)
        return
    found = describe(own, sequence_tokens=length)
    rows = [s[at : at + length] for s in streams for at in range(0, len(s) - length + 1, length)]
    assert (found.sequence_tokens, found.tail_tokens) == (length, sum(size % length for size in sizes))
    agrees(found, rows)


def test_families_are_sorted_and_numbered_over_all_splits(tmp_path: Path) -> None:
    """Whatever the order of the sources: files of one family stay in the order in which they were given."""
    own = [
        data.npy(write(tmp_path, "npy rows", EVEN[:3], "z"), family="b"),
        data.parquet(write(tmp_path, "parquet", UNEVEN[:4]), family="a"),
        data.shards(write(tmp_path, "raw", EVEN[:2], "v"), split="val"),
        data.npy(write(tmp_path, "npy rows", EVEN[3:5], "y"), family="b"),
    ]
    found = describe(own, sequence_tokens=LENGTH)
    assert [
        (f.split_name, f.split_kind, f.source_family_id, f.first_sequence_id, f.end_sequence_id, f.shard_ids)
        for f in found.families
    ] == [
        ("train", "train", "a", 0, 4, ["a.parquet"]), ("train", "train", "b", 4, 9, ["z.npy", "y.npy"]),
        ("val", "validation", "text", 9, 11, ["v.bin"]),
    ]  # fmt: skip
    assert (found.sequence_tokens, found.root) == (None, tmp_path)
    agrees(found, [*UNEVEN[:4], *EVEN[:3], *EVEN[3:5], *EVEN[:2]])


def test_the_contract_names_each_file_with_its_bytes(tmp_path: Path) -> None:
    """A Megatron pair has both of its files in it; the digest of all is over ids and digests alone."""
    write(tmp_path / "deep", "megatron", UNEVEN)
    found = describe(
        [data.megatron(tmp_path / "deep" / "a"), data.shards(write(tmp_path, "raw", EVEN, "b"), "uint16")],
        sequence_tokens=LENGTH,
    )
    assert found.token_data is not None
    pair, raw = found.token_data.files
    assert (pair.path, pair.index and pair.index.path, pair.dtype) == ("deep/a.bin", "deep/a.idx", "int32")
    for path, size, sha256 in (
        (pair.path, pair.bytes, pair.sha256),
        (pair.index and pair.index.path, pair.index and pair.index.bytes, pair.index and pair.index.sha256),
        (raw.path, raw.bytes, raw.sha256),
    ):
        content = (tmp_path / str(path)).read_bytes()
        assert (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert found.token_data.digest.hex() == hashlib.sha256(
        f'{{"b.bin":"{raw.sha256}","deep/a.bin":"{pair.sha256}"}}'.encode()
    ).hexdigest()  # fmt: skip


def test_the_identity_is_of_the_bytes_and_where_they_belong(tmp_path: Path) -> None:
    """Not of their place on a disk; or it is given."""
    paths = [write(tmp_path / name, "npy rows", EVEN) for name in ("one", "two")]
    other = write(tmp_path, "npy rows", EVEN[1:])
    identities = {
        describe(data.npy(path, split=split)).dataset_identity
        for path, split in [(paths[0], "train"), (paths[1], "train"), (paths[1], "test"), (other, "train")]
    }
    assert len(identities) == 3
    assert all(identity.startswith("data@") and len(identity) == 21 for identity in identities)
    assert describe(data.npy(other), dataset="wiki@3").dataset_identity == "wiki@3"


# --- where files are looked for -------------------------------------------------------------------------------------


def test_a_glob_and_a_folder_are_their_files_by_name(tmp_path: Path) -> None:
    """Sorted; a list is in the order that it has."""
    for n in (2, 0, 1):
        write(tmp_path, "npy rows", EVEN[n * 2 : n * 2 + 2], f"part-{n}")
    everything = [data.npy(str(tmp_path / "part-*.npy")), data.npy(tmp_path)]
    for own in everything:
        assert describe(own).families[0].shard_ids == [f"part-{n}.npy" for n in range(3)]
    listed = data.npy([tmp_path / "part-2.npy", tmp_path / "part-0.npy"])
    assert describe(listed).families[0].shard_ids == ["part-2.npy", "part-0.npy"]


def test_a_name_with_a_pattern_s_signs_is_a_name_where_it_stands(tmp_path: Path) -> None:
    """`a[1].npy` is that file."""
    path = write(tmp_path, "npy rows", EVEN, "a[1]")
    assert describe(data.npy(path)).families[0].shard_ids == ["a[1].npy"]


def test_a_folder_of_splits_and_families_is_read_by_its_names(tmp_path: Path) -> None:
    """Each file by its own; what is no token file is passed over."""
    write(tmp_path / "train" / "web", "npy rows", EVEN)
    write(tmp_path / "train" / "code", "parquet", UNEVEN)
    write(tmp_path / "train" / "books", "megatron", UNEVEN)
    write(tmp_path / "test", "raw", EVEN)
    (tmp_path / "train" / "web" / "README.md").write_text("no tokens", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("none here either", encoding="utf-8")
    found = describe(data.folders(tmp_path), sequence_tokens=LENGTH)
    assert [(f.split_name, f.source_family_id, f.shard_ids) for f in found.families] == [
        ("test", "text", ["test/a.bin"]), ("train", "books", ["train/books/a.bin"]),
        ("train", "code", ["train/code/a.parquet"]), ("train", "web", ["train/web/a.npy"]),
    ]  # fmt: skip
    assert [file.format for file in found.files] == ["raw", "megatron", "parquet", "npy"]


def test_a_dataset_dict_gives_its_splits(tmp_path: Path) -> None:
    """All of them, or the named one; a single Dataset has the split that it says of itself, or the given one."""
    for n, name in enumerate(("train", "validation")):
        write_datasets(tmp_path / name, UNEVEN[n * 4 : n * 4 + 4], split=name)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}', encoding="utf-8")
    found = describe(data.hf_dataset(tmp_path))
    assert [(f.split_name, f.sequences, len(f.shard_ids)) for f in found.families] == [
        ("train", 4, 2), ("validation", 4, 2),
    ]  # fmt: skip
    agrees(found, UNEVEN[:8])
    splits = [
        describe(own).families[0].split_name
        for own in (
            data.hf_dataset(tmp_path, split="validation"),
            data.hf_dataset(tmp_path / "validation"),
            data.hf_dataset(tmp_path / "train", split="test"),
        )
    ]
    assert splits == ["validation", "validation", "test"]


def test_the_documents_of_a_pair_are_its_index_s(tmp_path: Path) -> None:
    """Rows of one document have its name, and their places in it."""
    write_megatron(tmp_path / "a", UNEVEN, documents=[0, 2, 2, 7, 10])
    rows = index_of(describe(data.megatron(tmp_path / "a.idx")))
    names = [row["documents"][0]["document_id"].rsplit("/", 1)[1] for row in rows]
    assert names == ["0", "0", "2", "2", "2", "2", "2", "3", "3", "3"]
    lengths = [len(row) for row in UNEVEN]
    begins = [0, 2, 7]
    places = [sum(lengths[max(b for b in begins if b <= n) : n]) for n in range(10)]
    assert [row["documents"][0]["first_token"] for row in rows] == places


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8", "<i4", "<i8"])
def test_every_type_of_id_is_read(tmp_path: Path, dtype: str) -> None:
    """As the same ids."""
    rows = [[n, n + 1, n + 2] for n in range(5)]
    path = write(tmp_path, "npy rows", rows, dtype=dtype)
    agrees(describe(data.npy(path)), rows)
    raw = write(tmp_path, "raw", rows, "b", dtype=dtype)
    name: Any = np.dtype(dtype).name
    agrees(describe(data.shards(raw, name), sequence_tokens=3), rows)


def test_a_source_touches_no_file() -> None:
    """It is a value: it can be made before the data is there."""
    own = data.npy("nowhere/*.npy", split="test")
    assert own == data.npy("nowhere/*.npy", split="test")
    assert hash(own) == hash(data.npy("nowhere/*.npy", split="test"))


def test_large_files_are_read_as_small_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapped, and in blocks of few tokens and rows."""
    from psion_ledger.data import indexing, opening, parquet_files, reading, rows

    patched: list[tuple[Any, str, int]] = [
        (opening, "HELD_BYTES_MAX", 0),
        (indexing, "HELD_BYTES_MAX", 0),
        (reading, "HELD_BYTES_MAX", 0),
        (indexing, "PART_ROWS", 3),
        (indexing, "BLOCK_TOKENS", 4),
        (rows, "CHUNK_IDS", 2),
        (rows, "CHUNK_ROWS", 2),
        (parquet_files, "BATCH_TOKENS", 7),
    ]
    for module, name, value in patched:
        monkeypatch.setattr(module, name, value)
    for kind in FORMATS:
        path = write(tmp_path / kind, kind, rows_for(kind))
        agrees(describe(source(kind, path), sequence_tokens=LENGTH if kind in STREAMS else None), rows_for(kind))
