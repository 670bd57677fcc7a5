"""`psion_ledger.base_checkpoint.v1`: the weights that a run begins with, where it does not begin from nothing."""

from psion_ledger.contracts.finding import ContractFinding, Findings, document_rules, unique
from psion_ledger.contracts.values import U64, Part, Sha256Hex
from psion_ledger.events import Count, FileRole

SCHEMA_VERSION = "psion_ledger.base_checkpoint.v1"
ROLE = "base_checkpoint"


class BaseFile(Part, frozen=True, kw_only=True):
    """path: a file of foreign weights, by the name that its publisher gives it. bytes: its size. sha256: hex.
    role: what it holds."""

    path: str
    bytes: Count
    sha256: Sha256Hex
    role: FileRole


class CheckpointReference(Part, frozen=True, kw_only=True):
    """A checkpoint as its writer knew it; the fields are those of the original's receipts.

    checkpoint_family: the line that it belongs to. stream_id: the stream that wrote it.
    manifest_digest, object_digest: digests of its description and of its weights.
    writer_node_id: the machine. membership_epoch: the group of machines.
    cluster_state_digest, topology_digest: of the group's state and of its devices.
    started_at_ms, durable_at_ms: Unix time in milliseconds; not durable yet where the latter is absent.
    checkpoint_ref: where it is. step: optimizer steps completed.
    """

    checkpoint_family: str
    stream_id: str
    manifest_digest: str
    object_digest: str
    writer_node_id: str
    membership_epoch: U64
    cluster_state_digest: str
    topology_digest: str
    started_at_ms: U64
    checkpoint_ref: str | None = None
    step: U64 | None = None
    durable_at_ms: U64 | None = None


class BaseRun(Part, frozen=True, kw_only=True):
    """run_id: the run in whose ledger it was promoted. receipt_sha256: hex digest of the receipt that promoted it.
    head_note: a signed head of that ledger, where one was kept. reference: the checkpoint, as that receipt has it."""

    run_id: str
    receipt_sha256: Sha256Hex
    head_note: str | None = None
    reference: CheckpointReference


class BaseCheckpoint(Part, frozen=True, kw_only=True):
    """The base.

    schema_version: `psion_ledger.base_checkpoint.v1`.
    checkpoint_id: what this run calls it. object_sha256: hex digest of its weights.
    run: the other run that promoted it, where a ledger says so.
    files: its files, where it is foreign: lineage ends there.
    """

    schema_version: str
    checkpoint_id: str
    object_sha256: Sha256Hex
    run: BaseRun | None = None
    files: list[BaseFile] | None = None


def rules(base: BaseCheckpoint) -> list[ContractFinding]:
    """What the base must hold by itself."""
    return [*document_rules(ROLE, SCHEMA_VERSION, base), *_rules(base)]


def _rules(base: BaseCheckpoint) -> Findings:
    if (base.run is None) == (base.files is None):
        expected, actual = "a run or foreign files", "both" if base.run is not None else "neither"
        yield ContractFinding("BaseMismatch", f"{ROLE}#", expected, actual)
    if base.run is not None and base.run.reference.object_digest != base.object_sha256:
        at = f"{ROLE}#/run/reference/object_digest"
        yield ContractFinding("BaseMismatch", at, base.object_sha256, base.run.reference.object_digest)
    if base.files is not None:
        yield from unique(f"{ROLE}#/files", [file.path for file in base.files])
        weights = [file.sha256 for file in base.files if file.role == "weights"]
        if not weights or (len(weights) == 1 and weights[0] != base.object_sha256):
            at = f"{ROLE}#/files"
            yield ContractFinding("BaseMismatch", at, f"weights of {base.object_sha256}", ", ".join(weights) or "none")
