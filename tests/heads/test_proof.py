"""Proofs from a log that the real writer wrote and sealed: they hold on their own, and nothing in them can change."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from psion_ledger import heads
from psion_ledger.digest import leaf_hash, merkle_root, sha256
from psion_ledger.errors import LimitHit, NewerFormat, UsageError
from psion_ledger.heads import proof_check
from psion_ledger.heads.proof import Proof
from psion_ledger.log.frame import Frame
from tests.heads.samples import KEY, ORIGIN, OTHER_KEY, PUBLIC, Log, head, leaves, sealed_log, signed

ENTRY = 3


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Five entries; entry 3 has the 5 events of `t0001.r00003`."""
    return sealed_log(tmp_path_factory.mktemp("ledger"))


def event_proof(log: Log, seq: int = 2) -> heads.InclusionProof:
    return heads.make_inclusion(
        note=log.note(), leaf_hashes=log.leaf_hashes, entry=log.entries[ENTRY],
        body=log.bodies[ENTRY][seq], links=log.links(ENTRY),
    )  # fmt: skip


def entry_proof(log: Log) -> heads.InclusionProof:
    return heads.make_inclusion(note=log.note(), leaf_hashes=log.leaf_hashes, entry=log.entries[ENTRY])


def codes(proof: Proof, key: Any = PUBLIC) -> list[str]:
    return [finding.code for finding in heads.check(heads.encode(proof), key).findings]


def changed(value: Any, path: str, new: Any) -> Any:
    """A copy of a document with one field changed, named as `event.path.hashes`."""
    name, _, rest = path.partition(".")
    return msgspec.structs.replace(value, **{name: changed(getattr(value, name), rest, new) if rest else new})


def test_every_entry_has_a_proof(log: Log) -> None:
    """All five, under the head over them."""
    for entry in log.entries:
        proof = heads.make_inclusion(note=log.note(), leaf_hashes=log.leaf_hashes, entry=entry)
        assert codes(proof) == []


def test_every_event_has_a_proof(log: Log) -> None:
    """Of every entry, the first and the last included, and the result says which event it is."""
    for number, bodies in enumerate(log.bodies):
        for seq, body in enumerate(bodies):
            proof = heads.make_inclusion(
                note=log.note(), leaf_hashes=log.leaf_hashes, entry=log.entries[number], body=body,
                links=log.links(number),
            )  # fmt: skip
            checked = heads.check(heads.encode(proof), PUBLIC)
            assert (number, seq, True, [], log.origin, 5) == (
                number, seq, checked.holds, checked.findings, checked.heads[0].origin, checked.heads[0].size
            )  # fmt: skip
            assert isinstance(checked.proof, heads.InclusionProof)
            assert checked.proof.event is not None
            assert (f"t0001.r{number:05}", seq) == (checked.proof.event.stream, checked.proof.event.seq)


def test_a_proof_holds_under_an_older_head_of_the_log(log: Log) -> None:
    """The first four entries are what that head signs; the fifth is not among them."""
    older = heads.sign(heads.Head(origin=log.origin, size=4, root=merkle_root(log.leaf_hashes[:4])), KEY)
    proof = heads.make_inclusion(note=older, leaf_hashes=log.leaf_hashes, entry=log.entries[ENTRY])
    assert (codes(proof), proof.path.size) == ([], 4)
    with pytest.raises(UsageError, match="entry 4 is not among the 4 of this head"):
        heads.make_inclusion(note=older, leaf_hashes=log.leaf_hashes, entry=log.entries[4])


def test_another_key_makes_every_proof_worthless(log: Log) -> None:
    """Only what the pinned key signed counts; nothing more is said of the rest."""
    other = heads.make_inclusion(note=log.note(OTHER_KEY), leaf_hashes=log.leaf_hashes, entry=log.entries[ENTRY])
    assert codes(other) == ["note_refused"]
    assert codes(event_proof(log), OTHER_KEY.public_key()) == ["note_refused"]


def flips(hashes: list[str]) -> Iterator[list[str]]:
    """Every hash with one bit changed, left out, doubled, and all in reverse."""
    for place, value in enumerate(hashes):
        first = f"{int(value[0], 16) ^ 1:x}"
        yield [*hashes[:place], first + value[1:], *hashes[place + 1 :]]
        yield [*hashes[:place], *hashes[place + 1 :]]
        yield [*hashes[:place], value, *hashes[place:]]
    yield hashes[::-1]


@pytest.mark.parametrize(("path", "code"), [("path", "entry_not_in_head"), ("event.path", "event_not_in_entry")])
def test_a_changed_path_is_found(log: Log, path: str, code: str) -> None:
    """Each hash, a wrong index, a wrong size: of the entry in the log, and of the event in its entry."""
    proof = event_proof(log)
    old = proof.path if path == "path" else proof.event and proof.event.path
    assert old
    assert [[code]] * len(list(flips(old.hashes))) == [
        codes(changed(proof, f"{path}.hashes", hashes)) for hashes in flips(old.hashes)
    ]
    misplaced = "entry_misplaced" if path == "path" else "event_misplaced"
    assert [[misplaced, code], [misplaced, code]] == [
        codes(changed(proof, f"{path}.index", old.index + step)) for step in (-1, 1)
    ]
    assert misplaced in codes(changed(proof, f"{path}.size", old.size + 1))


def test_a_changed_byte_of_an_event_is_found(log: Log) -> None:
    """Each byte of the body."""
    proof = event_proof(log)
    body = log.bodies[ENTRY][2]
    for place in range(len(body)):
        other = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        found = codes(changed(proof, "event.body", other.hex()))
        assert (place, True) == (place, bool({"event_unreadable", "event_not_in_entry"} & set(found)))


def test_a_changed_byte_of_an_entry_is_found(log: Log) -> None:
    """Each byte of its text, the event's proof being as it was."""
    proof = event_proof(log)
    text = proof.entry
    for place in range(len(text)):
        other = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        found = codes(changed(proof, "entry", other))
        assert (place, True) == (place, bool({"entry_unreadable", "entry_not_in_head"} & set(found)))


def test_another_event_does_not_stand_for_the_one_claimed(log: Log) -> None:
    """A neighbour's body, a neighbour's seq, another stream's name, another log's origin."""
    proof = event_proof(log, seq=2)
    neighbour = event_proof(log, seq=1).event
    assert neighbour
    found = {
        "body": codes(changed(proof, "event.body", neighbour.body)),
        "seq": codes(changed(proof, "event.seq", 1)),
        "whole": codes(changed(proof, "event", changed(neighbour, "seq", 2))),
        "outside": codes(changed(proof, "event.seq", 7)),
        "stream": codes(changed(proof, "event.stream", "t0001.r00004")),
        "origin": codes(changed(proof, "origin", ORIGIN)),
    }
    expected = {
        "body": ["event_seq_differs", "event_not_in_entry"],
        "seq": ["event_misplaced", "event_seq_differs"],
        "whole": ["event_misplaced", "event_seq_differs"],
        "outside": ["event_misplaced", "event_misplaced", "event_seq_differs"],
        "stream": ["event_misplaced"],
        "origin": ["origin_differs"],
    }
    assert expected == found


def resealed(log: Log, **fields: object) -> heads.InclusionProof:
    """A proof from a log whose entry 3 says something else, with its own digest right, under a signed head."""
    body = msgspec.json.decode(log.entries[ENTRY]) | fields
    del body["sha256"]
    text = msgspec.json.encode(body)
    own = fields.get("sha256", sha256(text).hex())
    entry = text[:-1] + b',"sha256":"' + str(own).encode() + b'"}\n'
    hashes = [*log.leaf_hashes[:ENTRY], leaf_hash(entry), *log.leaf_hashes[ENTRY + 1 :]]
    note = heads.sign(heads.Head(origin=log.origin, size=5, root=merkle_root(hashes)), KEY)
    proof = heads.make_inclusion(note=note, leaf_hashes=hashes, entry=entry)
    event = event_proof(log, 0 if "link_before" in fields else 4).event
    return msgspec.structs.replace(proof, event=event)


def test_an_entry_that_belies_the_event_is_found(log: Log) -> None:
    """Though it is in the signed log: its digest, its links, its root, its range."""
    zero = "0" * 64
    found = {
        "same": codes(resealed(log)),
        "sha256": codes(resealed(log, sha256=zero)),
        "link_before": codes(resealed(log, link_before=zero)),
        "link_after": codes(resealed(log, link_after=zero)),
        "events_root": codes(resealed(log, events_root=zero)),
        "no hex": codes(resealed(log, events_root="x")),
        "last_seq": codes(resealed(log, last_seq=3)),
        "stream": codes(resealed(log, stream="t0001.r00009")),
    }
    expected = {
        "same": [],
        "sha256": ["entry_digest_differs"],
        "link_before": ["event_link_differs"],
        "link_after": ["event_link_differs"],
        "events_root": ["event_not_in_entry"],
        "no hex": ["event_not_in_entry"],
        "last_seq": ["event_misplaced", "event_misplaced"],
        "stream": ["event_misplaced"],
    }
    assert expected == found


def test_an_entry_of_another_type_proves_its_events(log: Log) -> None:
    """A proof needs an entry's range and root, and takes what a later type of entry adds."""
    assert codes(resealed(log, type="compact", replaces=[0, 1])) == []


def test_an_event_of_a_later_version_is_not_decided(log: Log) -> None:
    """To upgrade is what helps; the entry alone is proven without."""
    newer = resealed(log, events_version=2)
    with pytest.raises(NewerFormat, match="events version 2 is newer than 1: upgrade"):
        codes(newer)
    assert codes(changed(newer, "event", None)) == []


def test_evidence_that_does_not_belong_together_makes_no_proof(log: Log) -> None:
    """Each refusal says what is wrong with what was given."""
    given: dict[str, Any] = {"note": log.note(), "leaf_hashes": log.leaf_hashes, "entry": log.entries[ENTRY]}
    event: dict[str, Any] = {"body": log.bodies[ENTRY][2], "links": log.links(ENTRY)}
    far = msgspec.msgpack.encode(Frame(9, 0, bytes(32), -1, msgspec.msgpack.decode(log.bodies[0][0], type=Frame).event))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"note": b""}, "no signed head: not three lines"),
        ({"leaf_hashes": log.leaf_hashes[:4]}, "the 4 entries given are not those of the head at 5"),
        ({"leaf_hashes": leaves(5)}, "the 5 entries given are not those of the head at 5"),
        ({"entry": b"{}"}, "no manifest entry: Object missing required field"),
        ({"entry": log.entries[ENTRY] + b" "}, "entry 3: its leaf hash is another"),
        (event | {"links": log.links(ENTRY)[:-1]}, "the 4 links are not those of its 5 events"),
        (event | {"links": log.links(ENTRY)[::-1]}, "the 5 links are not those of its 5 events"),
        (event | {"body": b"x"}, "no frame of an event"),
        (event | {"body": log.bodies[2][2]}, "entry 3: seq 2 has another link"),
        (event | {"body": far}, "entry 3: seq 9 has another link"),
    ]
    for changes, message in wrong:
        with pytest.raises(UsageError, match=re.escape(message)):
            heads.make_inclusion(**(given | changes))


def consistency(old_size: int, size: int) -> heads.ConsistencyProof:
    return heads.make_consistency(old_note=signed(old_size), new_note=signed(size), leaf_hashes=leaves(size))


def test_two_heads_of_one_log_are_consistent() -> None:
    """Every pair of sizes to 12, the empty log too."""
    for size in range(13):
        for old_size in range(size + 1):
            checked = heads.check(heads.encode(consistency(old_size, size)), PUBLIC)
            assert (old_size, size, [], [head(old_size), head(size)]) == (
                old_size, size, checked.findings, checked.heads
            )  # fmt: skip


def test_heads_that_are_not_consistent_are_found() -> None:
    """A rewritten history, a changed hash, notes in the wrong order, another log, another key."""
    proof = consistency(5, 12)
    found = {
        "rewritten": codes(changed(proof, "old_note", signed(5, salt="rewritten").decode())),
        "hash": [codes(changed(proof, "hashes", hashes)) for hashes in flips(proof.hashes)],
        "order": codes(changed(changed(proof, "old_note", proof.new_note), "new_note", proof.old_note)),
        "log": codes(changed(proof, "old_note", signed(5, origin=heads.origin("another", "0" * 32)).decode())),
        "key": codes(changed(proof, "new_note", signed(12, key=OTHER_KEY).decode())),
    }
    expected = {
        "rewritten": ["not_consistent"],
        "hash": [["not_consistent"]] * len(list(flips(proof.hashes))),
        "order": ["sizes_not_ordered"],
        "log": ["origin_differs"],
        "key": ["note_refused"],
    }
    assert expected == found
    with pytest.raises(UsageError, match="the log at 5 entries had another root than the old note's"):
        heads.make_consistency(old_note=signed(5, "other"), new_note=signed(12), leaf_hashes=leaves(12))


@pytest.mark.parametrize(("old_size", "size"), [(5, 5), (1, 2), (4, 5), (8, 12), (5, 12), (0, 3)])
def test_two_histories_under_one_key_are_proven(old_size: int, size: int) -> None:
    """Of one size or two, from the two notes and the second history's leaves; the root at the empty log is known."""
    old = heads.sign(
        heads.Head(origin=ORIGIN, size=old_size, root=merkle_root(leaves(old_size or 1, "rewritten"))), KEY
    )
    proof = heads.make_equivocation(old_note=old, new_note=signed(size), leaf_hashes=leaves(size))
    checked = heads.check(heads.encode(proof), PUBLIC)
    assert ([], [old_size, size]) == (checked.findings, [known.size for known in checked.heads])


def test_an_equivocation_of_one_size_needs_the_notes_alone() -> None:
    """No leaf of either history."""
    proof = heads.make_equivocation(old_note=signed(5, "rewritten"), new_note=signed(5), leaf_hashes=[])
    assert (codes(proof), proof.hashes) == ([], [])


def test_an_honest_signer_cannot_be_accused() -> None:
    """Two heads of one log, with whatever root is claimed; heads of two logs; a head that the key did not sign."""
    old, new = signed(5, "rewritten").decode(), signed(12).decode()
    proof = heads.make_equivocation(old_note=old.encode(), new_note=new.encode(), leaf_hashes=leaves(12))
    honest = changed(proof, "old_note", signed(5).decode())
    rewritten = merkle_root(leaves(5, "rewritten")).hex()
    found = {
        "one log": codes(honest),
        "a root made up": codes(changed(honest, "new_history_root", rewritten)),
        "a hash": [codes(changed(proof, "hashes", hashes)) for hashes in flips(proof.hashes)],
        "the same note": codes(changed(changed(honest, "new_note", honest.old_note), "hashes", [])),
        "order": codes(changed(changed(proof, "old_note", new), "new_note", old)),
        "two logs": codes(changed(proof, "old_note", signed(5, "x", heads.origin("another", "0" * 32)).decode())),
        "another key": codes(changed(proof, "old_note", signed(5, "rewritten", key=OTHER_KEY).decode())),
    }
    expected = {
        "one log": ["heads_agree"],
        "a root made up": ["not_consistent"],
        "a hash": [["not_consistent"]] * len(list(flips(proof.hashes))),
        "the same note": ["heads_agree"],
        "order": ["sizes_not_ordered"],
        "two logs": ["origin_differs"],
        "another key": ["note_refused"],
    }
    assert expected == found


def test_heads_that_agree_make_no_accusation() -> None:
    """Nor do heads of two logs, or sizes in the wrong order, or leaves of neither."""
    for old, new, hashes, message in (
        (signed(5), signed(12), leaves(12), "both notes have one root at 5 entries"),
        (signed(5), signed(5), [], "both notes have one root at 5 entries"),
        (signed(12), signed(5, "x"), leaves(5, "x"), "the old head has 12 entries and the new one 5"),
        (signed(5, origin=heads.origin("a", "0" * 32)), signed(5, "x"), [], "heads of two logs"),
        (signed(5, "x"), signed(12), leaves(12, "x"), "the 12 entries given are not those of the head at 12"),
    ):
        with pytest.raises(UsageError, match=message):
            heads.make_equivocation(old_note=old, new_note=new, leaf_hashes=hashes)


def test_a_document_in_another_form_is_refused(log: Log) -> None:
    """What is no proof raises and says so in one line; a later version asks for an upgrade."""
    good = heads.encode(event_proof(log))
    for old, new in (
        (b'"seq": 2', b'"seq": -1'),
        (b'"seq": 2', b'"seq": 1e400'),
        (b'"seq": 2', b'"seq": 9223372036854775808'),
        (b'"seq": 2', b'"seq": null'),
        (b'"body": "', b'"body": "F'),
        (b'"stream"', b'"more": 1, "stream"'),
        (b'"note": "', b'"note": "\\ud800'),
        (b'"hashes": [', b'"hashes": ["00",'),
        (b'"hashes": [', b'"hashes": [' + b'"' + b"0" * 64 + b'",' * 100),
        (b"{", b"[" * 100_000),
        (b"{", b"\xff"),
        (good, b""),
    ):
        assert good != good.replace(old, new)
        with pytest.raises(UsageError, match=r"\Anot a proof: .*\Z"):
            heads.check(good.replace(old, new), PUBLIC)
    assert [finding.code for finding in heads.check(good.replace(b'"body": "', b'"body": "0'), PUBLIC).findings] == [
        "event_unreadable"
    ]
    with pytest.raises(NewerFormat, match="upgrade"):
        heads.check(good.replace(b"inclusion_proof.v1", b"inclusion_proof.v2"), PUBLIC)
    with pytest.raises(UsageError, match=r"is a 'psion_ledger\.audit\.v1', and no proof"):
        heads.check(good.replace(b"inclusion_proof.v1", b"audit.v1"), PUBLIC)


def test_a_document_is_of_limited_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before it is parsed."""
    monkeypatch.setattr(proof_check, "PROOF_BYTES_MAX", 10)
    with pytest.raises(LimitHit, match="the proof is larger than 10 bytes"):
        heads.check(b" " * 11, PUBLIC)
