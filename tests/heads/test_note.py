"""Signed heads: C2SP checkpoints, in their one form of bytes, under one pinned key."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger import heads
from psion_ledger.heads.note import NOTE_BYTES_MAX, Note, Signature, unverified, verify
from tests.heads.samples import KEY, ORIGIN, OTHER_KEY, PUBLIC, head, signed

TEXT = head(5).text
# Ed25519 signs without chance: these bytes hold for ever.
FROZEN_SIGNATURE = "29E0L6KEQBuRQYBCeVLNQGwsJQGjfYk+aNF+3Jxqhzorzx2iE0cmArvFkcHw266zhB67/MrJzJl0YpCWnWmoNZDhxgA="
FROZEN = f"{ORIGIN}\n5\nNBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=\n\n— {ORIGIN} {FROZEN_SIGNATURE}\n"


def test_a_note_has_the_form_of_the_specification() -> None:
    """Three lines, an empty one, a dash, the key's name, and the key's id and signature; frozen bytes."""
    assert signed(5).decode() == FROZEN


def test_a_signed_head_is_read_back() -> None:
    """With the key, and without it as something unverified."""
    note = signed(5)
    assert (head(5), head(5)) == (verify(note, PUBLIC), unverified(note).head)
    assert unverified(note).encode() == note


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}",
                                                                                    fullmatch=True))  # fmt: skip
def test_every_head_is_read_back(size: int, root: bytes, run_id: str) -> None:
    """Any size below 2**63, any root, any run id."""
    expected = heads.Head(origin=heads.origin(run_id, "0" * 32), size=size, root=root)
    assert expected == verify(heads.sign(expected, KEY), PUBLIC)


def test_every_flipped_bit_is_refused() -> None:
    """Of the text, the empty line, the dash, the name, the key's id and the signature."""
    note = signed(20_852_163 % 97)
    accepted = []
    for bit in range(8 * len(note)):
        changed = bytearray(note)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            verify(bytes(changed), PUBLIC)
        except heads.NoteRefused:
            continue
        accepted.append(bit)
    assert accepted == []


def test_every_cut_note_is_refused() -> None:
    """At each byte."""
    note = signed(5)
    for end in range(len(note)):
        with pytest.raises(heads.NoteRefused):
            verify(note[:end], PUBLIC)


def test_another_key_is_refused() -> None:
    """Whether or not it claims the pinned key's id."""
    with pytest.raises(heads.NoteRefused, match="no signature by the pinned key, whose id under this note's origin"):
        verify(signed(5, key=OTHER_KEY), PUBLIC)
    ours, theirs = unverified(signed(5)).signatures[0], unverified(signed(5, key=OTHER_KEY)).signatures[0]
    forged = Signature(key_name=ORIGIN, key_id=ours.key_id, signature=theirs.signature)
    with pytest.raises(heads.NoteRefused, match="the signature is not the pinned key's over this text"):
        verify(Note(head=head(5), signatures=[forged]).encode(), PUBLIC)


def test_a_key_of_another_name_is_refused() -> None:
    """The pinned key's signature counts under the note's own origin alone: it is of one log."""
    elsewhere = heads.origin("another-run", "0" * 32)
    for signer in (elsewhere, ORIGIN.upper(), "witness.example"):
        other = unverified(signed(5, origin=elsewhere)).signatures[0]
        named = Signature(key_name=signer, key_id=other.key_id, signature=KEY.sign(TEXT.encode()))
        with pytest.raises(heads.NoteRefused, match="no signature by the pinned key"):
            verify(Note(head=head(5), signatures=[named]).encode(), PUBLIC)


def test_a_signature_of_another_text_is_refused() -> None:
    """Of the same log at another size, or of another log."""
    for other in (signed(6), signed(5, salt="rewritten"), signed(5, origin=heads.origin("another-run", "0" * 32))):
        moved = Note(head=head(5), signatures=unverified(other).signatures).encode()
        with pytest.raises(heads.NoteRefused):
            verify(moved, PUBLIC)


WITNESS = Signature(key_name="witness.example/w1", key_id=b"\1\2\3\4", signature=bytes(72))


def test_signatures_of_witnesses_are_not_looked_at() -> None:
    """Before or after ours, of any type, sixteen and more; alone they are not enough."""
    ours = unverified(signed(5)).signatures[0]
    long = Signature(key_name="wïtness", key_id=bytes(4), signature=bytes(3_309))
    same_name = Signature(key_name=ORIGIN, key_id=bytes(4), signature=bytes(64))
    for signatures in ([WITNESS, ours], [ours, WITNESS], [*[WITNESS] * 16, long, same_name, ours, long]):
        note = Note(head=head(5), signatures=signatures)
        assert (head(5), note) == (verify(note.encode(), PUBLIC), unverified(note.encode()))
    with pytest.raises(heads.NoteRefused, match="no signature by the pinned key"):
        verify(Note(head=head(5), signatures=[WITNESS]).encode(), PUBLIC)


def test_one_bad_signature_of_the_pinned_key_spoils_the_note() -> None:
    """Even beside a good one."""
    ours = unverified(signed(5)).signatures[0]
    bad = Signature(key_name=ORIGIN, key_id=ours.key_id, signature=ours.signature[:-1])
    with pytest.raises(heads.NoteRefused, match="the signature is not the pinned key's"):
        verify(Note(head=head(5), signatures=[ours, bad]).encode(), PUBLIC)


def resigned(text: str) -> bytes:
    """A note of any text, rightly signed under the origin."""
    signature = Signature(
        key_name=ORIGIN, key_id=unverified(signed(5)).signatures[0].key_id, signature=KEY.sign(text.encode())
    )
    return (text + "\n" + signature.line).encode()


LINES = TEXT.split("\n")
NOT_A_SIZE = "line 2 is not a size"
NOT_A_ROOT = "line 3 is not the base64 of 32 bytes"
NOT_LINES = "not three lines, an empty one, and then signature lines"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("\n5\n", "\n05\n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", "\n+5\n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", "\n-5\n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", "\n5 \n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", "\n\N{ARABIC-INDIC DIGIT FIVE}\n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", f"\n{2**63}\n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", f"\n{'9' * 5_000}\n"), NOT_A_SIZE),
        (TEXT.replace("\n5\n", "\r\n5\n"), "a control character"),
        (TEXT.replace("\n5\n", "\n5\r\n"), "a control character"),
        (TEXT.replace("\n5\n", "\0\n5\n"), "a control character"),
        (TEXT.replace("\n5\n", "\n5\n\n"), NOT_LINES),
        (TEXT + "an extension line\n", NOT_LINES),
        (TEXT + "\n", "a line below the empty one is not a dash"),
        (TEXT.replace("\n5\n", "\u2028\n5\n"), "line 1 is not psion-ledger"),
        (f"{LINES[0]}\n5\n", NOT_LINES),
        (f"{LINES[0]}\n5\n{LINES[2][:-1]}\n", NOT_A_ROOT),
        (f"{LINES[0]}\n5\n{LINES[2]} \n", NOT_A_ROOT),
        (f"{LINES[0]}\n5\n{base64.b64encode(bytes(31)).decode()}\n", NOT_A_ROOT),
        (f"{LINES[0]}\n5\n{base64.b64encode(bytes(33)).decode()}\n", NOT_A_ROOT),
        (f"{LINES[0]}\n5\n{base64.b64encode(bytes(32)).decode()[:-2]}B=\n", "base64 with other bits"),
        (f"go.sum database tree\n5\n{LINES[2]}\n", "line 1 is not psion-ledger"),
        (f"{LINES[0]}/\n5\n{LINES[2]}\n", "line 1 is not psion-ledger"),
        (f"{LINES[0].upper()}\n5\n{LINES[2]}\n", "line 1 is not psion-ledger"),
        (f"psion-ledger/../{'0' * 32}\n5\n{LINES[2]}\n", "line 1 is not psion-ledger"),
    ],
)  # fmt: skip
def test_a_text_in_another_form_is_refused(text: str, message: str) -> None:
    """Though its signature is right; the message does not repeat what stands there."""
    with pytest.raises(heads.NoteRefused, match=re.escape(message)) as refused:
        verify(resigned(text), PUBLIC)
    assert ("\n" in str(refused.value), len(str(refused.value)) < 120) == (False, True)


SIGNATURE_LINE = unverified(signed(5)).signatures[0].line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        SIGNATURE_LINE[:-1],
        SIGNATURE_LINE + "\n",
        SIGNATURE_LINE + "more\n",
        SIGNATURE_LINE.replace("— ", "- "),
        SIGNATURE_LINE.replace("— ", "—  "),
        SIGNATURE_LINE.replace("— ", ""),
        SIGNATURE_LINE.replace("\n", " \n"),
        SIGNATURE_LINE.replace("\n", "\r\n"),
        SIGNATURE_LINE.replace("\n", "=\n"),
        SIGNATURE_LINE + "— a+b AAAAAAAA\n",
        SIGNATURE_LINE + "— a\u00a0b AAAAAAAA\n",
        SIGNATURE_LINE + "—  AAAAAAAA\n",
        SIGNATURE_LINE + "— a AAAAAA==\n",
        SIGNATURE_LINE + "— a AAAAAAB=\n",
        SIGNATURE_LINE + "— a AAAA*AAA\n",
        SIGNATURE_LINE + "— a\n",
    ],
)
def test_a_signature_line_in_another_form_is_refused(line: str) -> None:
    """A key's id alone is no signature, and a name has no spaces and no plus."""
    with pytest.raises(heads.NoteRefused):
        verify((TEXT + "\n" + line).encode(), PUBLIC)


def test_a_note_is_of_limited_size() -> None:
    """64 KiB, refused before anything is looked at; one of that size is read."""
    room = NOTE_BYTES_MAX - len(signed(5)) - len("— ".encode()) - len(" \n")
    name = "w" * (room % 4 or 4)
    padding = Signature(key_name=name, key_id=bytes(4), signature=bytes((room - len(name)) // 4 * 3 - 4)).line
    largest = signed(5) + padding.encode()
    assert (NOTE_BYTES_MAX, head(5)) == (len(largest), verify(largest, PUBLIC))
    with pytest.raises(heads.NoteRefused, match="larger than the 65,536 bytes of the largest note"):
        verify(largest + b"\n", PUBLIC)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    """With the one error, whatever they are."""
    with pytest.raises(heads.NoteRefused):
        verify(data, PUBLIC)
