"""A receipt with all that one can have, its text in other spellings, and the readers' word on them."""

import msgspec

from psion_ledger.receipts import PretrainStageReceipt, decode_receipt
from psion_ledger.receipts.reading import read_receipt, read_with_care
from tests.compatibility import fixture_documents, sealed, text_of
from tests.compatibility.trees import Members, Tree, at, parent_of, spelled, tree_of
from tests.documents import changed


def full_receipt() -> PretrainStageReceipt:
    """The fixture's receipt with all that a receipt can have: a base, two cuda devices, a cluster, an accelerator."""
    receipt = decode_receipt(fixture_documents().receipt)
    promoted = msgspec.to_builtins(receipt.checkpoint_lineage.promoted_checkpoint)
    base = promoted | {
        "stream_id": "fixture.a0000-s000010", "object_digest": "0" * 64, "step": 10,
        "started_at_ms": promoted["started_at_ms"] - 2000, "durable_at_ms": promoted["durable_at_ms"] - 2000,
    }  # fmt: skip
    devices = [
        {
            "stable_device_id": f"cuda:{n}", "topology_key": f"0000:0{n}:00.0",
            "performance_class": "discrete_accelerator", "memory_class": "dedicated_device",
            "total_memory_bytes": 2**34, "free_memory_bytes": 2**33,
        }
        for n in (0, 1)
    ]  # fmt: skip
    placed = [
        {
            "shard_id": n, "partition": {"kind": "whole_model"},
            "device": {"stable_device_id": f"cuda:{n}", "topology_key": f"0000:0{n}:00.0", "placement_index": n},
        }
        for n in (0, 1)
    ]  # fmt: skip
    delivered = {
        "runtime_backend": "cuda", "selected_devices": devices,
        "execution_topology": {"effective_backend": "cuda", "kind": "replicated", "assignments": placed},
        "cluster_execution": {
            "cluster_id": "c", "cluster_state_digest": "1" * 64, "topology_digest": "2" * 64,
            "scheduler_node_id": "node-a", "transport": "local_only", "disposition": "local_only",
        },
    }  # fmt: skip
    accelerator = {
        "accelerator_backed": True, "optimizer_steps_completed": 40, "mean_step_latency_ms": 20, "detail": "It ran.",
    }  # fmt: skip
    return sealed(
        changed(
            receipt,
            {
                "/checkpoint_lineage/base_checkpoint": base,
                "/delivered_execution": delivered,
                "/accelerator_execution": accelerator,
            },
        )
    )


FULL = full_receipt()
TEXT = text_of(FULL)


def read(text: str | bytes) -> PretrainStageReceipt | None:
    """What both readers make of it; they must agree."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    found = read_receipt(data)
    assert found == read_with_care(PretrainStageReceipt, data)
    return found


def replaced(pointer: str, value: Tree) -> str:
    """The full text with a value spelled otherwise; a tree, or a scalar as it is spelled."""
    tree = tree_of(TEXT)
    if not pointer:
        return spelled(value)
    container, place = parent_of(tree, pointer)
    if isinstance(container, Members):
        container[place][1] = value
    else:
        container[place] = value
    return spelled(tree)


def with_key(pointer: str, key: str, value: Tree, text: str | bytes = TEXT) -> str:
    """A text with one more member, first in the object at `pointer`."""
    tree = tree_of(text)
    at(tree, pointer).insert(0, [key, value])
    return spelled(tree)
