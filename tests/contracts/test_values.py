"""What counts as white space, and how labels are spelled in digests."""

import pytest

from psion_ledger.contracts.values import debug_name, is_blank


@pytest.mark.parametrize("text", ["", " ", "\t\r\n", "\x85", "\xa0", "\u1680", "\u2028\u2029", "\u202f", "\u3000"])
def test_white_space_is_blank(text: str) -> None:
    """Unicode's White_Space, and nothing at all."""
    assert is_blank(text)


@pytest.mark.parametrize("text", ["\x1c", "\x1d", "\x1e", "\x1f", "\u180e", "\u200b", "\ufeff", " x "])
def test_other_text_is_not_blank(text: str) -> None:
    """Separators that Python's strip() takes, and invisible characters, are text."""
    assert not is_blank(text)


def test_labels_become_variant_names() -> None:
    """The words of a label, each capitalised."""
    labels = {"train": "Train", "held_out": "HeldOut", "deterministic_shuffle": "DeterministicShuffle"}
    assert labels == {label: debug_name(label) for label in labels}
