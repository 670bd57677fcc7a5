"""The reader's rules for strings, numbers and the text as a whole, and that the fast reading is the careful one."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.contracts.model_descriptor import ModelDescriptor
from psion_ledger.contracts.stage_config import PretrainStageConfig
from psion_ledger.receipts import PretrainStageReceipt, decode_receipt
from psion_ledger.receipts.original_json import NotParsed
from psion_ledger.receipts.original_types import read_document
from psion_ledger.receipts.reading import read_config, read_receipt, read_with_care
from tests.compatibility import BASES, fixture_documents, put, text_of, upstream
from tests.compatibility.full import FULL, TEXT, read, replaced
from tests.compatibility.mutations import mutated
from tests.compatibility.trees import objects, spelled, tree_of
from tests.documents import UPSTREAM, needs_upstream

CONFIG = fixture_documents().stage_config


# ---- Strings ----


STRINGS = {
    '"\\"\\\\\\/\\b\\f\\n\\r\\t"': '"\\/\b\f\n\r\t',
    '"\\u00e9é"': "éé",
    '"\\u0000"': "\0",
    '"\x7f"': "\x7f",
    '"\\ud83d\\ude00"': "\U0001f600",
    '"\\uD83D\\uDE00\U0001f600"': "\U0001f600\U0001f600",
    '"\ufeffx"': "\ufeffx",
    '"\\ufeffx"': "\ufeffx",
    '"\\uffff\uffff"': "\uffff\uffff",
    '"\u2028\u0085\xa0"': "\u2028\u0085\xa0",
    '""': "",
}


@pytest.mark.parametrize(("spelling", "meant"), STRINGS.items(), ids=lambda text: ascii(text)[:24])
def test_a_string_is_what_it_spells(spelling: str, meant: str) -> None:
    """Escapes, pairs of surrogates, and characters that need none."""
    found = read(replaced("/summary", spelling))
    assert found is not None
    assert meant == found.summary


@pytest.mark.parametrize("spelling", [
    '"\\ud800"', '"\\udc00"', '"\\ud800x"', '"\\ud800\\n"', '"\\ud800\\u0041"', '"\\ud800\\ud800"',
    '"\\udc00\\ud800"', '"\\ud8"',
    '"\\u12g4"', '"\\x41"', '"\\\'"', '"\\a"', '"\\', '"\n"', '"\t"', '"\x00"', '"\x1f"', '"', "'x'", "x", '"x" "y"',
    "null", "1",
    "true", "[]", "{}", '["x"]', '{"x": null}', "\ud800",
], ids=ascii)  # fmt: skip
def test_what_is_no_string_is_refused(spelling: str) -> None:
    """Lone surrogates, unknown escapes, control characters, other types."""
    assert read(replaced("/summary", spelling)) is None
    assert read(replaced("/source_family_reports/0/source_ids/0", spelling)) is None


# ---- Numbers ----


def integers() -> dict[str, int]:
    """The pointer of every integer of the full receipt, with the most that its width holds."""
    widths = {"successful_replays": 2**16 - 1}
    widths |= dict.fromkeys(
        ("label_smoothing_bps", "optimizer_steps_completed", "mean_next_token_loss_milli"), 2**32 - 1
    )
    widths |= dict.fromkeys(("token_share_bps_within_split", "sequence_share_bps_within_split"), 2**32 - 1)
    return {
        f"{pointer}/{(name := json.loads(key))}": widths.get(name, 2**64 - 1)
        for pointer, container in objects(tree_of(TEXT))
        for key, value in container
        if isinstance(value, str) and value.isdigit()
    }


@pytest.mark.parametrize(("pointer", "most"), integers().items())
def test_an_integer_has_the_width_of_its_field(pointer: str, most: int) -> None:
    """The most that 16, 32 or 64 bits hold, and one more; on the fast path as on the careful one."""
    for value in (0, most - 1, most, 2**63 - 1, 2**63, most + 1, 2**64, 10**20, 10**400):
        found = read(put(TEXT, pointer, value))
        assert (value <= most) == (found is not None), value
        assert (value <= most) == (read(replaced(pointer, f"{value} ")) is not None), value


def test_every_integer_of_a_receipt_was_tried() -> None:
    """Five rows of three, the lineage's two of four, the devices' two of two, the assignments' two of two, and five."""
    assert len(integers()) == 5 * 3 + 2 * 4 + 2 * 2 + 2 * 2 + 6


@pytest.mark.parametrize("spelling", [
    "-0", "-1", "+1", "00", "01", "1.0", "1.", "4096.0", "1e0", "1E0", "1e+0", "0e0", "0.0", "1e3", "10e-1", "0x1",
    "1_0", "true",
    "false", "null", '"1"', "[]", "[1]", "{}", '{"1": null}', "NaN", "Infinity", "-Infinity", "1 0", "", "\u0661",
    "--1", "1/1",
    "18446744073709551616", "99999999999999999999", "000000000000000000001", "-18446744073709551616",
], ids=ascii)  # fmt: skip
def test_what_is_no_integer_is_refused(spelling: str) -> None:
    """Minus zero, fractions and exponents are floats; a boolean is no number."""
    for pointer in ("/objective_config/max_context_tokens", "/replay_receipt/successful_replays",
                    "/objective_config/label_smoothing_bps", "/replay_receipt/deterministic_shuffle_seed"):  # fmt: skip
        assert read(replaced(pointer, spelling)) is None, pointer
    if spelling != "null":
        assert read(replaced("/checkpoint_lineage/promoted_checkpoint/step", spelling)) is None


@pytest.mark.parametrize("spelling", ["1", "0", '"true"', "True", "TRUE", "tru", "truex", "null", "[]", "{}", ""])
def test_what_is_no_boolean_is_refused(spelling: str) -> None:
    """Only the two words."""
    assert read(replaced("/replay_receipt/exact_replay_observed", spelling)) is None


# ---- The text ----


@pytest.mark.parametrize("space", [" ", "\n", "\r\n", "\t", " \t\r\n  "], ids=ascii)
def test_white_space_stands_between_any_tokens(space: str) -> None:
    """JSON's four characters, before and after the document too."""
    assert read(space + spelled(tree_of(TEXT), space) + space) == FULL
    assert read_config(CONFIG) == read_config((space + spelled(tree_of(CONFIG), space) + space).encode())


@pytest.mark.parametrize(
    "space", ["\x0b", "\x0c", "\xa0", "\u2028", "\ufeff", "\x00", "\x85", "/**/", "//\n", "#\n"], ids=ascii
)
def test_nothing_else_stands_between_tokens(space: str) -> None:
    """Neither other white space, nor a byte order mark, nor a comment."""
    text = TEXT.decode()
    for broken in (space + text, text + space, text.replace("{", "{" + space, 1), text.replace(":", ":" + space, 1)):
        assert read(broken) is None


@pytest.mark.parametrize("rest", ["x", "{}", "null", ",", "]", "}", "\x00", "0", '""', "\n\n}"], ids=ascii)
def test_nothing_stands_behind_the_document(rest: str) -> None:
    """Whatever it is."""
    assert read(TEXT.decode() + rest) is None


@pytest.mark.parametrize("whole", ["", " ", "null", "1", '"x"', "true", "[]", "{}", "[[]]", "\ufeff", "nul"])
def test_what_is_no_document_is_refused(whole: str) -> None:
    """Other values, and none."""
    assert read(whole) is None
    assert read(f"[{TEXT.decode()}]") is None
    assert read(json.dumps(TEXT.decode())) is None
    assert read(TEXT.decode().replace('"', "'")) is None


@pytest.mark.parametrize("data", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9"])
def test_what_is_not_utf8_is_refused(data: bytes) -> None:
    """In a string, in an ignored one, and outside; UTF-16 too."""
    assert read(TEXT.replace(b"fixture-stage", data)) is None
    assert read(b'{"unknown": "' + data + b'",' + TEXT[1:]) is None
    assert read(TEXT + data) is None
    assert read(TEXT.decode().encode("utf-16")) is None


def test_a_text_cut_anywhere_is_refused() -> None:
    """The canonical spelling after each of its bytes but the last two, the brace and the newline."""
    assert [cut for cut in range(len(TEXT) - 1) if read_receipt(TEXT[:cut]) is not None] == []
    assert read_receipt(TEXT[:-1]) == FULL
    assert [cut for cut in range(len(CONFIG) - 1) if read_config(CONFIG[:cut]) is not None] == []


def test_a_text_cut_anywhere_is_refused_by_the_careful_reader() -> None:
    """Its compact spelling, after each byte."""
    compact = spelled(tree_of(TEXT)).encode()
    taken = [cut for cut in range(len(compact)) if read_with_care(PretrainStageReceipt, compact[:cut]) is not None]
    assert taken == []


@needs_upstream
@pytest.mark.parametrize("base", BASES)
def test_the_originals_receipts_are_read_alike(base: str) -> None:
    """By both readers and by our own strict one."""
    text = upstream(f"bases/base_{base}.json")
    assert decode_receipt(text) == read(text)


@needs_upstream
def test_the_originals_descriptor_is_read_with_care() -> None:
    """Not a config or receipt, and read by the same rules."""
    text = (UPSTREAM / "psion_compact_decoder_pilot_descriptor_v1.json").read_bytes()
    assert text.rstrip() == text_of(read_document(ModelDescriptor, text)).rstrip()
    with pytest.raises(NotParsed):
        read_document(ModelDescriptor, text[:-2])


# ---- Fast and careful ----


def agree(kind: type[Any], data: bytes) -> None:
    fast = read_config(data) if kind is PretrainStageConfig else read_receipt(data)
    assert fast == read_with_care(kind, data)


@settings(max_examples=150, deadline=None)
@given(mutated(TEXT))
def test_the_fast_reading_of_a_changed_receipt_is_the_careful_one(data: bytes) -> None:
    """msgspec's reading counts only where it is the original's."""
    agree(PretrainStageReceipt, data)


@settings(max_examples=100, deadline=None)
@given(mutated(CONFIG))
def test_the_fast_reading_of_a_changed_config_is_the_careful_one(data: bytes) -> None:
    """As for a receipt."""
    agree(PretrainStageConfig, data)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just(PretrainStageReceipt), mutated(TEXT)),
        st.tuples(st.just(PretrainStageConfig), mutated(CONFIG)),
    )
)
def test_the_fast_reading_is_the_careful_one_at_length(given: tuple[type[Any], bytes]) -> None:
    """The same over many more."""
    agree(*given)
