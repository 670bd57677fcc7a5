"""Folders of text: families, duplicates, splits, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainer.tiny import write_corpus
from trainer.config import BadInput
from trainer.corpus import load_documents
from trainer.document import Document


def rows(documents: list[Document]) -> list[tuple[str, str, str, str]]:
    return [(d.split, d.source_family_id, d.source_id, d.document_id) for d in documents]


def test_a_folder_is_read_the_same_every_time(tmp_path: Path) -> None:
    """Two reads agree, and documents come sorted by split, family and id."""
    folder = write_corpus(tmp_path / "text")
    documents = load_documents(str(folder))
    assert documents == load_documents(str(folder))
    assert rows(documents) == sorted(rows(documents), key=lambda row: (row[0], row[1], row[3]))


def test_every_family_is_trained_on_validated_and_held_out(tmp_path: Path) -> None:
    """20 documents a family: 1 held out, 2 for validation, 17 for training."""
    documents = load_documents(str(write_corpus(tmp_path / "text", documents=20)))
    counts: dict[tuple[str, str], int] = {}
    for document in documents:
        key = (document.split, document.source_family_id)
        counts[key] = counts.get(key, 0) + 1
    assert counts == {
        ("held_out", "held_out_documents"): 2,
        ("train", "code"): 17,
        ("train", "prose"): 17,
        ("validation", "code"): 2,
        ("validation", "prose"): 2,
    }


def test_held_out_sources_are_no_training_sources(tmp_path: Path) -> None:
    """A source of the held-out family bears that family's name, so it is in no other split."""
    documents = load_documents(str(write_corpus(tmp_path / "text")))
    held_out = {d.source_id for d in documents if d.split == "held_out"}
    assert all(source.startswith("held_out_documents/") for source in held_out)
    assert held_out.isdisjoint({d.source_id for d in documents if d.split != "held_out"})


def test_a_held_out_folder_is_kept_whole(tmp_path: Path) -> None:
    """With a family named held_out*, nothing else is carved off."""
    folder = write_corpus(tmp_path / "text", documents=4)
    (folder / "code").rename(folder / "held_out_code")
    splits = {(d.split, d.source_family_id) for d in load_documents(str(folder))}
    assert splits == {("held_out", "held_out_code"), ("train", "prose"), ("validation", "prose")}


def test_duplicates_are_merged_before_the_split(tmp_path: Path) -> None:
    """The same text under another name, in another family, is one document: the first by family and id."""
    folder = write_corpus(tmp_path / "text", documents=4)
    original = folder / "code" / "part00.txt"
    (folder / "prose" / "copy.txt").write_bytes(original.read_bytes())
    documents = load_documents(str(folder))
    copies = [d.document_id for d in documents if d.text == original.read_text(encoding="utf-8")]
    assert copies == ["code/part00.txt"]


def test_a_source_is_the_first_folder_or_the_file(tmp_path: Path) -> None:
    """DIR/family/book/chapter.txt belongs to source family/book, DIR/family/essay.txt to family/essay."""
    for name in ("book/one.txt", "book/deep/two.txt", "essay.txt"):
        path = tmp_path / "prose" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    (tmp_path / ".DS_Store").write_bytes(b"\xff")
    documents = load_documents(str(tmp_path))
    sources = {d.document_id: d.source_id.removeprefix("held_out_documents/") for d in documents}
    assert sources == {
        "prose/book/one.txt": "prose/book",
        "prose/book/deep/two.txt": "prose/book",
        "prose/essay.txt": "prose/essay",
    }


def test_rows_of_jsonl_and_parquet_are_documents(tmp_path: Path) -> None:
    """Both kinds of table give the same texts, sources and families."""
    found = []
    for suffix in ("jsonl", "parquet"):
        table = [{"text": f"text {n}", "source_id": "s", "source_family_id": "prose"} for n in range(5)]
        folder = tmp_path / suffix
        folder.mkdir()
        if suffix == "jsonl":
            lines = "".join(json.dumps(row) + "\n" for row in table)
            (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(table), folder / "rows.parquet")
        found.append([(d.split, d.source_family_id, d.source_id, d.text) for d in load_documents(str(folder))])
    assert found[0] == found[1]
    assert sorted(text for *_, text in found[0]) == [f"text {n}" for n in range(5)]


def _not_utf8(folder: Path) -> None:
    (write_corpus(folder) / "prose" / "latin.txt").write_bytes(b"caf\xe9")


def _two_documents(folder: Path) -> None:
    write_corpus(folder, documents=2)


def _loose_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "book.txt").write_text("text", encoding="utf-8")


def _held_out_only(folder: Path) -> None:
    (folder / "held_out").mkdir(parents=True)
    (folder / "held_out" / "a.txt").write_text("text", encoding="utf-8")


def _digest_separator(folder: Path) -> None:
    (write_corpus(folder) / "prose" / "a|b.txt").write_text("text", encoding="utf-8")


def _half_a_row(folder: Path) -> None:
    folder.mkdir()
    (folder / "rows.jsonl").write_text('{"text": "a", "source_id": "s"}\n', encoding="utf-8")


def _broken_json(folder: Path) -> None:
    folder.mkdir()
    (folder / "rows.jsonl").write_text('{"text": \n', encoding="utf-8")


def _broken_parquet(folder: Path) -> None:
    folder.mkdir()
    (folder / "rows.parquet").write_bytes(b"PAR1 or not")


def _shared_source(folder: Path) -> None:
    folder.mkdir()
    both = [{"text": family, "source_id": "s", "source_family_id": family} for family in ("a", "b")]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in both), encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "is not a folder; give --corpus a folder of text"),
        (
            lambda folder: folder.mkdir(),
            "holds no text; put UTF-8 files into a subfolder for each source family",
        ),
        (_not_utf8, "prose/latin.txt is not UTF-8 at byte 3; convert it, or move it out of the folder"),
        (
            _two_documents,
            "is too small to split: family 'code' has 2 different documents and needs 3; add files",
        ),
        (_loose_file, "'book.txt' lies in no family; move it into a subfolder"),
        (_held_out_only, "has only held-out families; add a subfolder of text to train on"),
        (_digest_separator, "printable characters without '|': rename it"),
        (_half_a_row, "row 1 needs the texts `text`, `source_id` and `source_family_id`"),
        (_broken_json, "line 1 is not JSON in UTF-8"),
        (_broken_parquet, "cannot be read as Parquet"),
        (_shared_source, "source 's' is in two families, 'a' and 'b'; give each source one family"),
    ],
)
def test_a_corpus_of_no_use_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    """One line that names the folder or file and says what to do."""
    folder = tmp_path / "text"
    make(folder)
    with pytest.raises(BadInput) as refused:
        load_documents(str(folder))
    line = str(refused.value)
    assert message in line
    assert "\n" not in line
    assert str(folder) in line
