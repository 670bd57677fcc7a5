"""The Python installation's own text: what is in it, and that nothing held out is anywhere else."""

import pytest

from trainer.corpus import load_documents
from trainer.document import Document


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return load_documents("python")


def test_families_stand_in_their_splits(documents: list[Document]) -> None:
    """Three families are trained on and validated; the fourth is held out, and is nowhere else."""
    assert sorted({(d.split, d.source_family_id) for d in documents}) == [
        ("held_out", "held_out_modules"),
        ("train", "language_reference"),
        ("train", "library_code"),
        ("train", "library_docstrings"),
        ("validation", "language_reference"),
        ("validation", "library_code"),
        ("validation", "library_docstrings"),
    ]


def test_code_and_docstrings_of_a_module_share_a_split(documents: list[Document]) -> None:
    """No module is in two splits, by any of its documents."""
    splits: dict[str, set[str]] = {}
    for document in documents:
        kind, _, module = document.document_id.partition(":")
        if kind in ("code", "docs"):
            splits.setdefault(module, set()).add(document.split)
    assert {module: own for module, own in splits.items() if len(own) > 1} == {}
    assert len(splits) > 50


def test_each_source_belongs_to_one_family(documents: list[Document]) -> None:
    """At most about forty sources, none in two families."""
    families: dict[str, set[str]] = {}
    for document in documents:
        families.setdefault(document.source_id, set()).add(document.source_family_id)
    assert [source for source, own in families.items() if len(own) > 1] == []
    assert 15 < len(families) <= 45


def test_no_text_is_there_twice(documents: list[Document]) -> None:
    """Duplicates were merged before the split."""
    assert len({document.text for document in documents}) == len(documents)


def test_the_budget_bounds_the_code(documents: list[Document]) -> None:
    """Code and docstrings together stay below three million bytes of source."""
    modules = [d for d in documents if not d.document_id.startswith("topics:")]
    assert sum(len(d.text.encode()) for d in modules) < 3_000_000


def test_the_code_holds_no_module_docstring(documents: list[Document]) -> None:
    """A docstring is in its family, under its qualified name, and not in the code."""
    for document in documents:
        if document.document_id == "docs:json.decoder":
            assert "json.decoder.JSONDecodeError" in document.text
    both = {d.document_id.partition(":")[2]: d for d in documents if d.document_id.startswith("docs:")}
    for document in documents:
        kind, _, module = document.document_id.partition(":")
        if kind == "code" and module in both:
            first_docstring = both[module].text.split("\n\n")[1].strip()
            assert f'"""{first_docstring}"""' not in document.text


def test_reading_twice_gives_the_same(documents: list[Document]) -> None:
    """The corpus of one installation is a constant."""
    assert load_documents("python") == documents
