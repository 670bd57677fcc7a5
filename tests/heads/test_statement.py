"""What a proof states: each value from a signed note or from hashed bytes, and nothing that anybody could swap."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from psion_ledger import heads
from psion_ledger.errors import LedgerError
from psion_ledger.heads.proof import Proof
from tests.heads.samples import ORIGIN, PUBLIC, Log, leaves, sealed_log, signed
from tests.ledgers import RUN_ID

ENTRY = 3


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Log, Log]:
    """Two runs of one name, in which the same happened: their nonces differ alone, and one key signs both."""
    one, other = (sealed_log(tmp_path_factory.mktemp(name)) for name in ("one", "other"))
    return one, other


def entry_proof(log: Log, number: int = ENTRY) -> heads.InclusionProof:
    return heads.make_inclusion(note=log.note(), leaf_hashes=log.leaf_hashes, entry=log.entries[number])


def event_proof(log: Log, seq: int = 2) -> heads.InclusionProof:
    return heads.make_inclusion(
        note=log.note(), leaf_hashes=log.leaf_hashes, entry=log.entries[ENTRY],
        body=log.bodies[ENTRY][seq], links=log.links(ENTRY),
    )  # fmt: skip


def consistency() -> heads.ConsistencyProof:
    return heads.make_consistency(old_note=signed(5), new_note=signed(12), leaf_hashes=leaves(12))


def equivocation() -> heads.Equivocation:
    return heads.make_equivocation(old_note=signed(5, "rewritten"), new_note=signed(12), leaf_hashes=leaves(12))


def stated(document: bytes) -> dict[str, Any] | None:
    """What is stated of a document; None when a finding says that it does not hold."""
    statement = heads.state(heads.check(document, PUBLIC))
    return None if statement is None else msgspec.structs.asdict(statement)


def test_proofs_of_different_facts_are_stated_differently(logs: tuple[Log, Log]) -> None:
    """An event's, its neighbour's, an entry's, and the same three of another run under the same name and key."""
    proofs = [make for log in logs for make in (event_proof(log), event_proof(log, 1), entry_proof(log))]
    said = [stated(heads.encode(proof)) for proof in proofs]
    assert all(one != other for place, one in enumerate(said) for other in said[:place])
    assert [(value["run"], value["origin"]) for value in said if value] == [
        (RUN_ID, log.origin) for log in logs for _ in range(3)
    ]


def test_an_event_is_stated_with_all_that_it_says(logs: tuple[Log, Log]) -> None:
    """As it was emitted: place, kind, fields by name, and when."""
    said = stated(heads.encode(event_proof(logs[0], seq=2)))
    assert said
    recorded = said["event"].pop("recorded_at_ns")
    frame = msgspec.msgpack.decode(logs[0].bodies[ENTRY][2])
    assert (said["kind"], said["sizes"], recorded) == ("event_inclusion", [5], frame[1])
    assert said["entry"] == {"number": ENTRY, "stream": "t0001.r00003", "first_seq": 0, "last_seq": 4}
    tag, *values = frame[4]
    assert (said["event"]["stream"], said["event"]["seq"], said["event"]["kind"]) == ("t0001.r00003", 2, tag)
    assert list(said["event"]["fields"].values())[: len(values)] == values


def test_two_heads_are_stated_by_their_sizes() -> None:
    """The older first; neither an entry nor an event."""
    proofs: list[tuple[Proof, str]] = [(consistency(), "consistency"), (equivocation(), "equivocation")]
    for proof, kind in proofs:
        assert stated(heads.encode(proof)) == {
            "kind": kind, "origin": ORIGIN, "run": RUN_ID, "sizes": [5, 12], "entry": None, "event": None,
        }  # fmt: skip


def swapped(value: Any) -> Iterator[Any]:
    """Other values in the place of each that a document has, one at a time."""
    if isinstance(value, dict):
        for name, part in value.items():
            for other in swapped(part):
                yield value | {name: other}
            yield {key: kept for key, kept in value.items() if key != name}
            yield value | {name: None}
    elif isinstance(value, list):
        yield value[1:]
        for place, part in enumerate(value):
            for other in swapped(part):
                yield [*value[:place], other, *value[place + 1 :]]
    elif isinstance(value, int):
        yield from (value + 1, max(value - 1, 0))
    elif isinstance(value, str):
        for place in {0, len(value) // 3, len(value) // 2, len(value) - 2, len(value) - 1}:
            yield value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
        yield value + value[-1]


@pytest.mark.parametrize("made", ["event", "entry", "consistency", "equivocation"])
def test_no_swapped_value_changes_the_statement(logs: tuple[Log, Log], made: str) -> None:
    """Every value of the document: there is a finding or a refusal, or the very same is stated. An event's proof
    without its event is the entry's proof, and says so."""
    proofs: dict[str, Proof] = {
        "event": event_proof(logs[0]), "entry": entry_proof(logs[0]),
        "consistency": consistency(), "equivocation": equivocation(),
    }  # fmt: skip
    proof = proofs[made]
    whole = stated(heads.encode(proof))
    of_entry = stated(heads.encode(entry_proof(logs[0])))
    document = msgspec.json.decode(heads.encode(proof))
    tried = 0
    for other in swapped(copy.deepcopy(document)):
        if other == document:
            continue
        tried += 1
        try:
            said = stated(msgspec.json.encode(other))
        except LedgerError:
            continue
        without_event = made == "event" and other["event"] is None
        assert said in (None, of_entry if without_event else whole), other
    assert tried > 20


def test_two_documents_cannot_be_mixed(logs: tuple[Log, Log]) -> None:
    """Each part of the one run's proof in the other's: the runs have one name, one key, and equal events."""
    one, other = (msgspec.json.decode(heads.encode(event_proof(log))) for log in logs)
    for name in ("origin", "note", "entry", "path", "event"):
        assert (name, None) == (name, stated(msgspec.json.encode(one | {name: other[name]})))


def differing(proof: Proof, **expected: Any) -> list[tuple[str, str, str, str]]:
    statement = heads.state(heads.check(heads.encode(proof), PUBLIC))
    assert statement is not None
    found = heads.differences(statement, heads.Expected(**expected))
    return [(finding.code, finding.pointer, finding.expected, finding.actual) for finding in found]


def test_a_proof_of_something_else_is_told_from_the_one_expected(logs: tuple[Log, Log]) -> None:
    """By the run's name or the whole origin, by entry, by event; one that is of no event has none to offer."""
    event, entry = event_proof(logs[0]), entry_proof(logs[0])
    place = ("t0001.r00003", 2)
    for run in (RUN_ID, logs[0].origin):
        assert differing(event, run=run, entry=ENTRY, event=place) == []
    assert differing(event, run=logs[1].origin) == [("another_run", "/origin", logs[1].origin, logs[0].origin)]
    assert differing(event, run="") == [("another_run", "/origin", "", logs[0].origin)]
    assert differing(event, event=("t0001.r00003", 1)) == [
        ("another_event", "/event", "t0001.r00003:1", "t0001.r00003:2")
    ]
    assert differing(entry, entry=4, event=place) == [
        ("another_entry", "/entry", "4", "3"), ("another_event", "/event", "t0001.r00003:2", "none"),
    ]  # fmt: skip
    of_heads: list[Proof] = [consistency(), equivocation()]
    for proof in of_heads:
        assert [found[0] for found in differing(proof, entry=0, event=place)] == ["another_entry", "another_event"]
