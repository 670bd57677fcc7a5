"""A document: one text to train, validate or be held out on."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text. `split` is train, validation or held_out; a source belongs to one family."""

    split: str
    source_family_id: str
    source_id: str
    document_id: str
    text: str
