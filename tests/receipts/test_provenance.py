"""Each field of a receipt follows from the facts that the table of provenance names for it, and from no others."""

import hashlib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.contracts import DOCUMENTS, BaseCheckpoint
from psion_ledger.log.indexes import SEQUENCE_INDEX_SCHEMA
from psion_ledger.receipts import PretrainStageReceipt, digests, templates
from psion_ledger.receipts.provenance import PROVENANCE
from tests.edits import edited, inserted
from tests.emitted import promoted, weights
from tests.ledgers import good_run
from tests.receipts.derived import CONTRACTS, CUDA, LAST, as_json, receipt_of, trained
from tests.receipts.good_receipt import good_receipt, pointers, starred


def test_a_run_of_two_ranks_has_their_hosts_in_its_digests_alone(tmp_path: Path) -> None:
    """How the batch was divided changes nothing else."""
    one, two = good_receipt(CONTRACTS), as_json(receipt_of(tmp_path, good_run(CONTRACTS, world=2)))
    changed = {p for p, leaf in pointers(two).items() if leaf != pointers(one)[p]}
    at = "/checkpoint_lineage/promoted_checkpoint"
    assert {f"{at}/cluster_state_digest", f"{at}/topology_digest"} == changed == naming("attempt_started.world_size")


def leaves(annotation: Any, at: str = "") -> Iterator[str]:
    """The pointer of every leaf of a document's type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from leaves(arguments[0], at)
    elif origin is list:
        yield from leaves(arguments[0], f"{at}/*")
    elif origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        # A value of several types is one leaf.
        yield from leaves(inner[0], at) if len(inner) == 1 else [at]
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        for name, hint in get_type_hints(annotation, include_extras=True).items():
            yield from leaves(hint, f"{at}/{name}")
    else:
        yield at


def test_the_table_of_provenance_names_every_leaf_and_nothing_else() -> None:
    """Of the type, so that a field that no run fills is there too."""
    assert sorted(leaves(PretrainStageReceipt)) == sorted(PROVENANCE)


def event_fields(source: str) -> list[str]:
    """The KIND.FIELD of a source, if it names any."""
    kind, _, rest = source.partition(" ")
    return rest.split() if kind in ("event", "sha256") else []


def naming(source: str) -> set[str]:
    """The fields of the receipt that rest on a fact, by the table."""
    return {p for p, named in PROVENANCE.items() if any(source in event_fields(s) for s in named)}


def test_every_source_exists() -> None:
    """Each event's field, contract's field, template and digest that the table names."""
    sources = {source for named in PROVENANCE.values() for source in named}
    assert {"event", "contract", "template", "digest", "sha256", "constant", "absent"} == {
        source.split(" ")[0] for source in sources
    }
    documents: dict[str, set[str]] = {role: set(leaves(kind)) for role, (kind, _) in DOCUMENTS.items()}
    documents["base_checkpoint"] = set(leaves(BaseCheckpoint))
    documents["sequence_index"] = {f"/{name}" for name in SEQUENCE_INDEX_SCHEMA.names}
    unknown = []
    for source in sorted(sources):
        kind, _, name = source.partition(" ")
        for event, _, field in (path.partition(".") for path in event_fields(source)):
            if field not in events.KINDS[event].__struct_fields__:
                unknown.append(source)
        role, _, field = name.partition("/")
        if kind == "contract" and f"/{field}" not in documents[role]:
            unknown.append(source)
        if kind == "template" and not isinstance(getattr(templates, name, None), str):
            unknown.append(source)
        if kind == "digest" and not callable(getattr(digests, name, None)):
            unknown.append(source)
    assert unknown == []


CHECKPOINT, PROMOTED, MEASURED = events.CheckpointWritten, events.CheckpointPromoted, events.SplitLossMeasured
OTHER_FILES = [events.CheckpointFile(path="checkpoints/other", bytes=1, sha256=bytes(32), role="weights")]
CHANGES: list[tuple[type[msgspec.Struct], int, str, Any]] = [
    (CHECKPOINT, 2, "checkpoint_family", "another"),
    (CHECKPOINT, 2, "files", OTHER_FILES),
    (CHECKPOINT, 2, "writer_node_id", "node-b"),
    (CHECKPOINT, 2, "started_at_ns", 1_500_000_000),
    (CHECKPOINT, 2, "durable_at_ns", 2_500_000_000),
    (PROMOTED, 0, "label", "another"),
    (events.StreamOpened, 0, "host", "node-b"),
    (events.AttemptStarted, 0, "devices", [CUDA]),
    (MEASURED, LAST + 3, "target_tokens", 100),
    (MEASURED, LAST + 3, "sequences", 5),
    (MEASURED, LAST + 3, "loss_sum_nanonats", 1),
]


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return pointers(as_json(receipt_of(tmp_path_factory.mktemp("unchanged"), trained())))


@pytest.mark.parametrize(("kind", "nth", "field", "value"), CHANGES, ids=lambda value: str(value)[:20])
def test_a_changed_fact_changes_the_fields_that_name_it(
    tmp_path: Path, unchanged: dict[str, Any], kind: type[msgspec.Struct], nth: int, field: str, value: Any
) -> None:
    """And no others but texts and digests over them."""
    found = pointers(as_json(receipt_of(tmp_path, edited(trained(), kind, nth, **{field: value}))))
    both = unchanged.keys() | found.keys()
    changed = {starred(p) for p in both if unchanged.get(p) != found.get(p)}
    source = f"{kind.__struct_config__.tag}.{field}"
    named = naming(source)
    made = {p for p, named in PROVENANCE.items() if named[0].startswith(("template ", "digest "))}
    assert changed - made <= named
    assert named & changed, f"nothing that names {source} changed"
    if field not in ("target_tokens", "sequences", "devices"):
        assert named == changed - made


def test_what_a_template_says_of_the_weights_is_the_promoted_ones(tmp_path: Path) -> None:
    """The last checkpoint's digest, not the first one's."""
    promoted = receipt_of(tmp_path, trained()).checkpoint_lineage.promoted_checkpoint
    assert hashlib.sha256(weights(4)).hexdigest() == promoted.object_digest


def test_the_latest_promotion_is_the_one_that_counts(tmp_path: Path) -> None:
    """Two promotions on one stream: the later one's checkpoint and label."""
    first = msgspec.structs.replace(promoted(1, 2), label="early")
    script = inserted(trained(), first, after=CHECKPOINT, nth=2)
    lineage = receipt_of(tmp_path, script).checkpoint_lineage
    assert (lineage.promoted_checkpoint_label, lineage.promoted_checkpoint.step) == ("small-final", 4)
