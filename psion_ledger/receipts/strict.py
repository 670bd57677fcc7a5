"""The strict reading of a config and its receipt: what the original accepts and a ledger must not.

Where `compatibility` names the first failure that the original would, this names every fault, each with a code and a
JSON pointer behind the document's role. It needs no ledger; what only the record can show, `verify_receipt` does.

Codes of its own, beside those of `contracts.finding` and the original's verdict names: DuplicateKey, Malformed,
NotDurable, StepMissing, BaseNotOlder, ReplayNotExact, SeparatorInIdentity, StageIdMismatch,
AcceleratorNotBacked, AcceleratorOnCpu, StepsBeyondCheckpoint, FreeMemoryAboveTotal, DeviceNotSelected,
TopologyMismatch.
"""

import collections
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from psion_ledger.contracts import (
    CheckpointReference,
    ContractFinding,
    corpus_rules,
    decode_document,
    descriptor_rules,
    sampling_policy,
)
from psion_ledger.contracts.binding import _policy_findings, _tokenizer_findings, config_findings
from psion_ledger.contracts.finding import Findings, blank_fields, equal, unique
from psion_ledger.contracts.sampling_policy import SamplingPolicy
from psion_ledger.errors import ContractRefused
from psion_ledger.receipts.compatibility import OK, original_verdict
from psion_ledger.receipts.documents import (
    AcceleratorExecution,
    CheckpointLineage,
    DeliveredExecution,
    PretrainStageReceipt,
    ReplayReceipt,
)
from psion_ledger.receipts.verify import decode_receipt

AT = "receipt#"
CPU = "cpu"


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """The exact texts of a config, its receipt, and the three documents that they are bound to."""

    stage_config: bytes
    receipt: bytes
    model_descriptor: bytes
    tokenized_corpus: bytes
    sampling_policy: bytes


def strict_findings(texts: Documents) -> list[ContractFinding]:
    """Every fault of the five documents; none means that the original and the strict reading accept them.

    A document that cannot be read at all is a finding, and ends the reading: the rest would be about other values.
    """
    found = list(_original(texts))
    for role in texts.__struct_fields__:
        found += _duplicate_keys(role, getattr(texts, role))
    try:
        config = decode_document("stage_config", texts.stage_config)
        descriptor = decode_document("model_descriptor", texts.model_descriptor)
        corpus = decode_document("tokenized_corpus", texts.tokenized_corpus)
        policy = decode_document("sampling_policy", texts.sampling_policy)
        receipt = decode_receipt(texts.receipt)
    except ContractRefused as error:
        return [*found, ContractFinding("Malformed", str(error).split(": ")[0], "its own schema", str(error))]
    found += descriptor_rules.rules(descriptor) + corpus_rules.rules(corpus) + sampling_policy.rules(policy)
    found += [*_tokenizer_findings(descriptor, corpus), *_policy_findings(policy, corpus)]
    found += config_findings(config, descriptor, corpus, policy)
    found += receipt_findings(receipt, policy)
    return list(dict.fromkeys(found))


def receipt_findings(receipt: PretrainStageReceipt, policy: SamplingPolicy) -> list[ContractFinding]:
    """What a receipt must hold by itself and under its policy, beyond the original's checks."""
    found = list(blank_fields(AT, receipt))
    found += equal(f"{AT}/stage_id", f"{receipt.run_id}-stage-1-pretrain", receipt.stage_id, "StageIdMismatch")
    found += _separators(receipt)
    found += _rows(receipt, policy)
    found += _replay(receipt.replay_receipt)
    found += _lineage(receipt.checkpoint_lineage)
    if receipt.delivered_execution is not None:
        found += _delivered(receipt.delivered_execution)
    if receipt.accelerator_execution is not None:
        found += _accelerator(receipt, receipt.accelerator_execution)
    return found


def _original(texts: Documents) -> Findings:
    """The original's own verdicts, where they are not `ok`."""
    try:
        verdicts = original_verdict(
            texts.stage_config,
            texts.receipt,
            model_descriptor=texts.model_descriptor,
            tokenized_corpus=texts.tokenized_corpus,
            sampling_policy=texts.sampling_policy,
        )
    except ContractRefused as error:
        yield ContractFinding("Malformed", str(error).split(": ")[0], "a document that the original reads", str(error))
        return
    for role, verdict in zip(("stage_config", "receipt"), verdicts, strict=True):
        if verdict != OK:
            yield ContractFinding(verdict, f"{role}#", OK, verdict)


class _Members(list[tuple[str, Any]]):
    """An object's members as they stand in its text."""


def _duplicate_keys(role: str, text: bytes) -> Findings:
    """Keys that stand twice in one object: readers differ on which of them counts."""
    try:
        document = json.loads(text, object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        return  # No JSON: the decoders say so.
    parts: list[tuple[str, list[Any]]] = [(f"{role}#", document)] if isinstance(document, list) else []
    while parts:
        pointer, part = parts.pop()
        if isinstance(part, _Members):
            inner = [(_step(key), value) for key, value in part]
            for step, count in collections.Counter(step for step, _ in inner).items():
                if count > 1:
                    yield ContractFinding("DuplicateKey", f"{pointer}/{step}", "once", f"{count} times")
        else:
            inner = [(str(place), value) for place, value in enumerate(part)]
        parts += [(f"{pointer}/{step}", value) for step, value in reversed(inner) if isinstance(value, list)]


def _step(key: str) -> str:
    """A key as a step of a JSON pointer; half a surrogate pair, which no UTF-8 has, is spelled out."""
    return key.replace("~", "~0").replace("/", "~1").encode("utf-8", "backslashreplace").decode()


def _separators(receipt: PretrainStageReceipt) -> Findings:
    """The original's digests join their fields by an unescaped `|`: one inside a field can hide another."""
    parts = (
        (AT, msgspec.structs.replace(receipt, source_family_reports=[])),
        *((f"{AT}/source_family_reports/{i}", row) for i, row in enumerate(receipt.source_family_reports)),
    )
    for pointer, part in parts:
        for place, text in _texts(pointer, part):
            if "|" in text and not place.endswith("/detail"):
                yield ContractFinding("SeparatorInIdentity", place, "no `|`", text)


def _texts(pointer: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(f"{pointer}/{index}", item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _texts(f"{pointer}/{name}", getattr(value, name))


def _rows(receipt: PretrainStageReceipt, policy: SamplingPolicy) -> Findings:
    caps = {w.source_family_id: w.maximum_family_token_share_bps for w in policy.source_family_weights}
    for index, row in enumerate(receipt.source_family_reports):
        at = f"{AT}/source_family_reports/{index}"
        yield from unique(f"{at}/source_ids", row.source_ids)
        cap = caps.get(row.source_family_id)
        if row.split_kind == "train" and cap is not None and row.token_share_bps_within_split > cap:
            place = f"{at}/token_share_bps_within_split"
            yield ContractFinding("ShareAboveCap", place, f"at most {cap}", str(row.token_share_bps_within_split))


def _replay(replay: ReplayReceipt) -> Findings:
    if not replay.exact_replay_observed:
        yield ContractFinding("ReplayNotExact", f"{AT}/replay_receipt/exact_replay_observed", "true", "false")


def _lineage(lineage: CheckpointLineage) -> Findings:
    at = f"{AT}/checkpoint_lineage"
    promoted, base = lineage.promoted_checkpoint, lineage.base_checkpoint
    yield from _checkpoint(f"{at}/promoted_checkpoint", promoted)
    if base is None:
        return
    yield from _checkpoint(f"{at}/base_checkpoint", base)
    # Their times are by clocks that may have been wrong.
    if base.step is not None and promoted.step is not None and base.step >= promoted.step:
        place = f"{at}/base_checkpoint/step"
        yield ContractFinding("BaseNotOlder", place, f"before {promoted.step}", str(base.step))
    for name in ("stream_id", "object_digest"):
        if getattr(base, name) == getattr(promoted, name):
            place = f"{at}/base_checkpoint/{name}"
            yield ContractFinding("BaseNotOlder", place, "another than the promoted one's", getattr(base, name))


def _checkpoint(at: str, checkpoint: CheckpointReference) -> Findings:
    if checkpoint.durable_at_ms is None:
        yield ContractFinding("NotDurable", f"{at}/durable_at_ms", "when it became durable", "absent")
    if checkpoint.step is None:
        yield ContractFinding("StepMissing", f"{at}/step", "the step that it stands at", "absent")


def _delivered(delivered: DeliveredExecution) -> Findings:
    at = f"{AT}/delivered_execution"
    devices = delivered.selected_devices
    yield from unique(f"{at}/selected_devices", [device.stable_device_id for device in devices])
    for index, device in enumerate(devices):
        total, free = device.total_memory_bytes, device.free_memory_bytes
        if total is not None and free is not None and free > total:
            place = f"{at}/selected_devices/{index}/free_memory_bytes"
            yield ContractFinding("FreeMemoryAboveTotal", place, f"at most {total}", str(free))
        if delivered.runtime_backend == CPU:
            place = f"{at}/selected_devices/{index}"
            yield from equal(f"{place}/performance_class", "reference", device.performance_class, "AcceleratorOnCpu")
            yield from equal(f"{place}/memory_class", "host_only", device.memory_class, "AcceleratorOnCpu")
    topology = delivered.execution_topology
    if topology is None:
        return
    at = f"{at}/execution_topology"
    assigned = [assignment.device for assignment in topology.assignments]
    if (topology.kind == "single_device") != (len(assigned) == 1):
        yield ContractFinding("TopologyMismatch", f"{at}/kind", f"fits {len(assigned)} assignments", topology.kind)
    yield from unique(f"{at}/assignments", [str(assignment.shard_id) for assignment in topology.assignments])
    known = {device.stable_device_id: device.topology_key for device in devices}
    for index, placed in enumerate(assigned):
        place = f"{at}/assignments/{index}/device"
        if placed.stable_device_id not in known:
            found = placed.stable_device_id
            yield ContractFinding("DeviceNotSelected", f"{place}/stable_device_id", "a selected device", found)
        else:
            bus = known[placed.stable_device_id]
            yield from equal(f"{place}/topology_key", bus, placed.topology_key)


def _accelerator(receipt: PretrainStageReceipt, accelerator: AcceleratorExecution) -> Findings:
    at = f"{AT}/accelerator_execution"
    delivered, step = receipt.delivered_execution, receipt.checkpoint_lineage.promoted_checkpoint.step
    if not accelerator.accelerator_backed:
        yield ContractFinding("AcceleratorNotBacked", f"{at}/accelerator_backed", "true", "false")
    if delivered is not None and delivered.runtime_backend == CPU:
        yield ContractFinding("AcceleratorOnCpu", at, "absent on a cpu backend", "present")
    elif delivered is not None and all(d.performance_class == "reference" for d in delivered.selected_devices):
        yield ContractFinding("AcceleratorOnCpu", at, "an accelerator among the devices", "none")
    if step is not None and accelerator.optimizer_steps_completed > step:
        found = str(accelerator.optimizer_steps_completed)
        place = f"{at}/optimizer_steps_completed"
        yield ContractFinding("StepsBeyondCheckpoint", place, f"at most the checkpoint's {step}", found)
