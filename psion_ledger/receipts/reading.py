"""A config or a receipt as the original reads it: fast where its spelling leaves readers no choice, else with care.

The careful reader is `original_types.read_document`. Most texts need not come to it: msgspec reads thirty times as
fast, and what it makes of a text is the original's reading too wherever that value encodes to the same text again.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from psion_ledger.contracts import CheckpointReference
from psion_ledger.contracts.stage_config import PretrainStageConfig
from psion_ledger.contracts.values import U64_MAX
from psion_ledger.receipts.documents import PretrainStageReceipt
from psion_ledger.receipts.original_json import NotParsed
from psion_ledger.receipts.original_types import read_document

T = TypeVar("T", bound=msgspec.Struct)
_decode_config = msgspec.json.Decoder(PretrainStageConfig).decode
_decode_receipt = msgspec.json.Decoder(PretrainStageReceipt).decode
_encode = msgspec.json.Encoder().encode
# What msgspec refuses by type and the original cannot read either. A struct as an array, an enum as an object and an
# unknown key are not among it.
_refused_by_both = re.compile(
    r"Expected `(?:int|bool|array)(?: \| null)?`|Expected `str`, got `(?!object)|Invalid enum value|Number out of range"
    r"|Object missing required field `(?!selected_devices`)"
).match


def read_config(data: bytes) -> PretrainStageConfig | None:
    """None when the original's parser refuses it."""
    return _read(PretrainStageConfig, _decode_config, _config_integers, data)


def read_receipt(data: bytes) -> PretrainStageReceipt | None:
    """None when the original's parser refuses it."""
    return _read(PretrainStageReceipt, _decode_receipt, _receipt_integers, data)


def read_with_care(kind: type[T], data: bytes) -> T | None:
    try:
        return read_document(kind, data)
    except NotParsed:
        return None


def _read(kind: type[T], decode: Callable[[bytes], T], integers: Callable[[T], Iterator[int]], data: bytes) -> T | None:
    try:
        value = decode(data)
    except msgspec.ValidationError as error:
        return None if _refused_by_both(str(error)) else read_with_care(kind, data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # No JSON, and msgspec stops at the first unknown key: nothing before was of the sort that is passed over.
        return None
    # White space between tokens aside, the text is what its own value encodes to: no quirk is in it.
    if msgspec.json.format(data, indent=-1) == _encode(value) and max(integers(value)) <= U64_MAX:
        return value
    return read_with_care(kind, data)


def _config_integers(config: PretrainStageConfig) -> Iterator[int]:
    """The integers that msgspec does not bound: 64 bits wide."""
    yield config.objective_config.max_context_tokens


def _receipt_integers(receipt: PretrainStageReceipt) -> Iterator[int]:
    lineage, delivered = receipt.checkpoint_lineage, receipt.delivered_execution
    yield receipt.objective_config.max_context_tokens
    yield receipt.replay_receipt.deterministic_shuffle_seed
    yield from _checkpoint_integers(lineage.promoted_checkpoint)
    if lineage.base_checkpoint is not None:
        yield from _checkpoint_integers(lineage.base_checkpoint)
    if receipt.accelerator_execution is not None:
        yield receipt.accelerator_execution.mean_step_latency_ms
    if delivered is not None:
        for device in delivered.selected_devices:
            yield device.total_memory_bytes or 0
            yield device.free_memory_bytes or 0
        if delivered.execution_topology is not None:
            for assignment in delivered.execution_topology.assignments:
                yield assignment.shard_id
                yield assignment.device.placement_index


def _checkpoint_integers(checkpoint: CheckpointReference) -> tuple[int, ...]:
    named = (checkpoint.membership_epoch, checkpoint.started_at_ms, checkpoint.step, checkpoint.durable_at_ms)
    return tuple(number or 0 for number in named)
