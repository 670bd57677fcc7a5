"""A broken rule of a contract as a value, and the few shapes that nearly every rule has.

Codes that the original's validator has too: MissingField, FieldMismatch, SchemaVersionMismatch,
StageKindMismatch, InvalidBpsValue, ContextLengthMismatch, SplitKindMismatch, UnknownSplitName,
UnknownSourceFamilyForSplit, UnknownSourceIdForFamily, SourceFamilyCoverageMismatch, ReplayContractMismatch.

Codes of our own: DuplicateEntry (an id twice), CoverageMismatch (a list that must name exactly a set),
CountMismatch (a total that is not the sum of its parts), InvalidCount (a number outside its range),
ShareTotalMismatch (shares that do not sum to 10,000), ShareAboveCap, HeldOutNotIsolated, UnknownShard,
UnlistedShard, TensorLayoutMismatch, TensorLayoutDigestMismatch, SequenceRangeMismatch, FamilyOrderMismatch,
BatchScheduleMismatch, OrderMismatch, MissingContract (what another is bound
to), ConflictingContract (two that say the same of one thing), BaseMismatch, TokenWidthMismatch,
FamilyNeverDrawn.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from psion_ledger.contracts.values import TOTAL_BPS, is_blank


class ContractFinding(msgspec.Struct, frozen=True):
    """One broken rule.

    code: the rule's name, from the list above.
    pointer: the document's role and a JSON pointer (RFC 6901) into it, such as `stage_config#/run_id`.
    expected: what the rule asks for, in words or as the value.
    actual: what the document holds.
    """

    code: str
    pointer: str
    expected: str
    actual: str


class Versioned(Protocol):
    """Any of the documents."""

    @property
    def schema_version(self) -> str: ...


Findings = Iterator[ContractFinding]
Name = str | tuple[str, ...]


def _spelled(name: Name) -> str:
    return name if isinstance(name, str) else "/".join(name)


def equal(pointer: str, expected: object, actual: object, code: str = "FieldMismatch") -> Findings:
    if expected != actual:
        yield ContractFinding(code, pointer, str(expected), str(actual))


def present(pointer: str, text: str) -> Findings:
    if is_blank(text):
        yield ContractFinding("MissingField", pointer, "text that is not white space", text)


def same_text(pointer: str, expected: str, actual: str, code: str = "FieldMismatch") -> Findings:
    """Emptiness first, then equality, as the original does."""
    if is_blank(actual):
        yield from present(pointer, actual)
    else:
        yield from equal(pointer, expected, actual, code)


def at_least(pointer: str, least: int, actual: int) -> Findings:
    if actual < least:
        yield ContractFinding("InvalidCount", pointer, f"at least {least}", str(actual))


def basis_points(pointer: str, actual: int, least: int = 0) -> Findings:
    if not least <= actual <= TOTAL_BPS:
        yield ContractFinding("InvalidBpsValue", pointer, f"{least} to {TOTAL_BPS}", str(actual))


def unique(pointer: str, names: Iterable[Name]) -> Findings:
    """`names` in the order of the array at `pointer`; each repetition is a finding at its index."""
    seen: set[Name] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield ContractFinding("DuplicateEntry", f"{pointer}/{index}", "each name once", _spelled(name))
        seen.add(name)


def covers(pointer: str, expected: Iterable[Name], actual: Iterable[Name], code: str) -> Findings:
    """One finding a name that one side lacks, sorted; repetitions do not count."""
    wanted, found = set(expected), set(actual)
    for name in sorted(map(_spelled, wanted - found)):
        yield ContractFinding(code, pointer, name, "absent")
    for name in sorted(map(_spelled, found - wanted)):
        yield ContractFinding(code, pointer, "absent", name)


def blank_fields(pointer: str, value: object) -> Findings:
    """MissingField for each string below `value` that says nothing, in declaration order."""
    if isinstance(value, str):
        yield from present(pointer, value)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from blank_fields(f"{pointer}/{index}", item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from blank_fields(f"{pointer}/{name}", getattr(value, name))


def document_rules(role: str, schema_version: str, document: Versioned) -> Findings:
    """What every document must hold: its schema version, and no string that says nothing."""
    if not is_blank(document.schema_version):
        at = f"{role}#/schema_version"
        yield from equal(at, schema_version, document.schema_version, "SchemaVersionMismatch")
    yield from blank_fields(f"{role}#", document)
