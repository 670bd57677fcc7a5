"""Documents: read, merge duplicates by content, split into train, validation and held out.

A folder's subfolders are source families and the UTF-8 files in them documents; or the folder holds Parquet
or JSONL files whose rows carry `text`, `source_id` and `source_family_id`. A family whose name begins with
`held_out` is never trained on; where there is none, one document in twenty is held out as
`held_out_documents`.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trainer.config import PYTHON_TEXT, BadInput
from trainer.document import Document
from trainer.files import open_text
from trainer.sizes import gib, machine_bytes

HELD_OUT_PER_DOCUMENT = 0.05
VALIDATION_PER_DOCUMENT = 0.10
_NAME_CHARACTERS_MOST = 200
_HELD_OUT = "held_out"
_HELD_OUT_FAMILY = "held_out_documents"


def load_documents(corpus: str) -> list[Document]:
    """All documents, sorted by (split, family, document id); raises BadInput for a corpus of no use."""
    if corpus == PYTHON_TEXT:
        from trainer.python_text import python_documents

        documents = _merged(python_documents())
    else:
        documents = _split(_merged(_folder_documents(Path(corpus))), corpus)
    return sorted(documents, key=lambda document: (document.split, document.source_family_id, document.document_id))


def _merged(documents: Iterable[Document]) -> list[Document]:
    """One document per content, the first by (family, id), before anything is decided by content or name."""
    kept: dict[bytes, Document] = {}
    for document in sorted(documents, key=lambda document: (document.source_family_id, document.document_id)):
        if document.text.strip():
            kept.setdefault(_content_digest(document), document)
    return list(kept.values())


def _split(documents: list[Document], corpus: str) -> list[Document]:
    """A folder's documents, split within each family by the rank of their content's hash.

    Ranks, not buckets: every family that is trained on is also validated, however few its documents are.
    """
    if not documents:
        raise BadInput(f"corpus {corpus} holds no text; put UTF-8 files into a subfolder for each source family")
    families = defaultdict(list)
    for document in documents:
        families[document.source_family_id].append(document)
    carve = not any(family.startswith(_HELD_OUT) for family in families)
    least = 3 if carve else 2
    result = []
    for family, members in families.items():
        if family.startswith(_HELD_OUT):
            result += [replace(document, split="held_out") for document in members]
            continue
        if len(members) < least:
            raise BadInput(
                f"corpus {corpus} is too small to split: family {family!r} has {len(members)} different "
                f"documents and needs {least}; add files to it, or cut the text into more files"
            )
        ranked = sorted(members, key=_content_digest)
        held_out = max(1, round(len(ranked) * HELD_OUT_PER_DOCUMENT)) if carve else 0
        validation = max(1, round(len(ranked) * VALIDATION_PER_DOCUMENT))
        result += [
            replace(
                document,
                split="held_out",
                source_family_id=_HELD_OUT_FAMILY,
                source_id=f"{_HELD_OUT_FAMILY}/{document.source_id}",
            )
            for document in ranked[:held_out]
        ]
        result += [replace(document, split="validation") for document in ranked[held_out : held_out + validation]]
        result += ranked[held_out + validation :]
    if all(document.split == "held_out" for document in result):
        raise BadInput(f"corpus {corpus} has only held-out families; add a subfolder of text to train on")
    return result


def _folder_documents(folder: Path) -> Iterator[Document]:
    """The folder's documents, all still in the train split."""
    if not folder.is_dir():
        raise BadInput(f"corpus {folder} is not a folder; give --corpus a folder of text")
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    tables = [path for path in entries if path.suffix in (".parquet", ".jsonl")]
    family_of_source: dict[str, str] = {}
    for document in _row_documents(tables) if tables else _file_documents(folder, entries):
        for name in (document.source_family_id, document.source_id, document.document_id):
            if not name.isprintable() or not name.strip() or "|" in name or len(name) > _NAME_CHARACTERS_MOST:
                raise BadInput(
                    f"corpus {folder}: the name {name[:80]!r} cannot be used; names are 1 to "
                    f"{_NAME_CHARACTERS_MOST} printable characters without '|': rename it"
                )
        family = family_of_source.setdefault(document.source_id, document.source_family_id)
        if family != document.source_family_id:
            raise BadInput(
                f"corpus {folder}: source {document.source_id!r} is in two families, {family!r} and "
                f"{document.source_family_id!r}; give each source one family"
            )
        yield document


def _file_documents(folder: Path, entries: list[Path]) -> Iterator[Document]:
    if loose := [path for path in entries if not path.is_dir()]:
        raise BadInput(f"corpus {folder}: {loose[0].name!r} lies in no family; move it into a subfolder")
    paths = [(family, path) for family in entries for path in _files_of(folder, family)]
    total_bytes = sum(path.stat().st_size for _, path in paths if path.is_file())
    if total_bytes > machine_bytes():
        raise BadInput(
            f"corpus {folder} has {gib(total_bytes)} of text, and this machine {gib(machine_bytes())} of memory; "
            "give a smaller folder"
        )
    for family, path in paths:
        parts = path.relative_to(family).parts
        yield Document(
            split="train",
            source_family_id=family.name,
            source_id=f"{family.name}/{parts[0] if len(parts) > 1 else path.stem}",
            document_id=path.relative_to(folder).as_posix(),
            text=_text_of(folder, path),
        )


def _files_of(folder: Path, family: Path) -> Iterator[Path]:
    """Everything in a family but folders and hidden names, sorted."""
    for path in sorted(family.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(family).parts):
            continue
        if path.is_symlink() and path.is_dir():
            raise BadInput(
                f"corpus {folder}: {path.relative_to(folder)} is a link to a folder, and what is in it would be left "
                "out; put the folder itself there"
            )
        if not path.is_dir():
            yield path


def _text_of(folder: Path, path: Path) -> str:
    with open_text(path) as file:
        data = file.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"corpus {folder}: {path.relative_to(folder)} is not UTF-8 at byte {error.start}; "
            "convert it, or move it out of the folder"
        ) from None


def _row_documents(tables: list[Path]) -> Iterator[Document]:
    for path in tables:
        for number, row in enumerate(_rows(path), start=1):
            columns = [row.get(name) for name in ("text", "source_id", "source_family_id")]
            if not all(isinstance(value, str) for value in columns):
                raise BadInput(f"{path}: row {number} needs the texts `text`, `source_id` and `source_family_id`")
            text, source_id, family = map(str, columns)
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise BadInput(f"{path}: row {number} holds half a surrogate pair, which is not text; correct it")
            document_id = f"{path.name}:{number}"
            yield Document(
                split="train",
                source_family_id=family,
                source_id=source_id,
                document_id=document_id,
                text=text,
            )


def _rows(path: Path) -> Iterator[dict[str, object]]:
    if path.suffix == ".jsonl":
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    row = json.loads(line.decode("utf-8"))
                except (ValueError, RecursionError) as error:
                    raise BadInput(f"{path}: line {number} is not JSON in UTF-8: {error}; correct it") from None
                if not isinstance(row, dict):
                    raise BadInput(f"{path}: line {number} is not a JSON object; correct it")
                yield row
        return
    import pyarrow
    import pyarrow.parquet

    try:
        with open_text(path) as opened, pyarrow.parquet.ParquetFile(opened) as file:
            for batch in file.iter_batches(columns=["text", "source_id", "source_family_id"]):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise BadInput(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}; correct it") from None


def _content_digest(document: Document) -> bytes:
    return hashlib.sha256(document.text.encode()).digest()
