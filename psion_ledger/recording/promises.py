"""From what a user says of a run to its contracts, and the files that go with them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from psion_ledger import orders
from psion_ledger.contracts import Contracts, TensorLayout
from psion_ledger.contracts.base_checkpoint import BaseCheckpoint
from psion_ledger.contracts.model_descriptor import ModelDescriptor, TokenizerBinding
from psion_ledger.contracts.sampling_plan import (
    SCHEMA_VERSION,
    TRAIN_PROBE,
    BatchRule,
    BatchSize,
    Cadence,
    EvaluationSet,
    Layout,
    LossDivisor,
    PassEnd,
    Passes,
    PlanFamily,
    PlannedSkip,
    RankRule,
    SamplingPlan,
    Take,
    Targets,
    Unit,
)
from psion_ledger.contracts.tensor_layout import SCHEMA_VERSION as LAYOUT_SCHEMA
from psion_ledger.contracts.tensor_layout import LayoutTensor
from psion_ledger.contracts.token_data import TokenData
from psion_ledger.errors import UsageError
from psion_ledger.log.contract_files import FileContract
from psion_ledger.orders import Declared, OrderFile
from psion_ledger.orders.passes import TAIL, pass_length

# The suffix of a contract's files, and for each its bytes and rows.
Parts = tuple[str, Iterable[tuple[bytes, int]]]
BatchSizes = int | Sequence[tuple[int, int]] | None


class Tensor(Protocol):
    """Anything with a dtype and a shape: an array, a tensor, a row of a state dict."""

    @property
    def dtype(self) -> Any: ...
    @property
    def shape(self) -> Sequence[int]: ...


ModelTensors = Mapping[str, Tensor] | Mapping[str, tuple[str, Sequence[int]]]


class Promises(msgspec.Struct, frozen=True, kw_only=True):
    """What a run declares before its first batch. `files` are made when they are declared, and never again."""

    contracts: Contracts
    files: dict[FileContract, Callable[[], Parts]] = msgspec.field(default_factory=dict)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says of how a run trains; the fields are the arguments of `record` of the same names."""

    order: Declared
    model: ModelTensors | TensorLayout | ModelDescriptor
    batch_sequences: BatchSizes
    horizon_steps: int
    micro_batch_sequences: int | None = None
    pass_sequences: int | None = None
    pass_end: PassEnd = "spans"
    layout: Layout = "rank_major"
    take: Take = "contiguous"
    planned_skips: Mapping[int, int] = msgspec.field(default_factory=dict)
    targets: Targets = "all_but_first"
    evaluation_sequences: Mapping[str, int] = msgspec.field(default_factory=dict)
    evaluations: Cadence | None = None
    checkpoints: Cadence | None = None
    loss_divisor: LossDivisor = "other"
    norm_is_global: bool = False
    rate_is_global: bool = False
    architecture: str = "unspecified"
    tokenizer: TokenizerBinding | None = None
    base: BaseCheckpoint | None = None


class Described(Protocol):
    """Data as `psion_ledger.data.describe` gives it."""

    @property
    def families(self) -> list[PlanFamily]: ...
    @property
    def token_data(self) -> TokenData | None: ...
    @property
    def dataset_identity(self) -> str: ...
    @property
    def sequence_tokens(self) -> int | None: ...
    def index_parts(self) -> Iterable[tuple[bytes, int]]: ...


def promised(run_id: str, wish: Wish, data: Described, unit: Unit, world: int) -> Promises:
    """The contracts of a new run, which hold. Raises UsageError and ContractRefused."""
    plan = plan_of(wish, data.families, data.dataset_identity, data.sequence_tokens, unit, world)
    contracts = Contracts(
        sampling_plan=plan,
        model_descriptor=model_of(run_id, wish),
        token_data=data.token_data,
        base_checkpoint=wish.base,
    )
    orders.require_bound(contracts)
    files: dict[FileContract, Callable[[], Parts]] = {}
    if unit != "content":
        role: FileContract = "document_index" if unit == "window" else "sequence_index"
        files[role] = lambda: ("parquet", data.index_parts())
    if isinstance(wish.order, OrderFile):
        # Read before the run is begun: a file that is no order begins none.
        parts = wish.order.parts()
        files["order_files"] = lambda: parts
    return Promises(contracts=contracts, files=files)


def plan_of(
    wish: Wish, families: list[PlanFamily], dataset_identity: str, sequence_tokens: int | None, unit: Unit, world: int
) -> SamplingPlan:
    """The plan over these families."""
    order = wish.order.plan_order if isinstance(wish.order, OrderFile) else wish.order
    train = sum(family.sequences for family in families if family.split_kind == "train")
    return SamplingPlan(
        schema_version=SCHEMA_VERSION,
        dataset_identity=dataset_identity,
        families=families,
        order=order,
        unit=unit,
        sequence_tokens=sequence_tokens,
        targets=wish.targets,
        passes=Passes(sequences=wish.pass_sequences or _pass_of(wish.order, train, unit), end=wish.pass_end),
        batch=_batch_rule(wish, world),
        ranks=RankRule(layout=wish.layout, take=wish.take),
        planned_skips=[
            PlannedSkip(before_step=step, sequences=sequences) for step, sequences in sorted(wish.planned_skips.items())
        ],
        horizon_steps=wish.horizon_steps,
        evaluation_sets=[
            spread(family, wish.evaluation_sequences[family.split_name])
            for family in families
            if family.split_name in wish.evaluation_sequences
        ],
        evaluations=wish.evaluations,
        checkpoints=wish.checkpoints,
        loss_divisor=wish.loss_divisor,
        norm_is_global=wish.norm_is_global,
        rate_is_global=wish.rate_is_global,
    )


def _batch_rule(wish: Wish, world: int) -> BatchRule:
    """Of a batch of one size, each rank takes its part at once, unless that is said otherwise."""
    if wish.batch_sequences is None:
        return BatchRule(schedule=None, micro_batch_sequences=wish.micro_batch_sequences)
    micro = wish.micro_batch_sequences
    if isinstance(wish.batch_sequences, int):
        sizes, micro = [(1, wish.batch_sequences)], micro or -(-wish.batch_sequences // world)
    else:
        sizes = list(wish.batch_sequences)
    schedule = [BatchSize(first_step=step, sequences=sequences) for step, sequences in sizes]
    return BatchRule(schedule=schedule, micro_batch_sequences=micro)


def _pass_of(order: Declared, train_sequences: int, unit: Unit) -> int | None:
    """How long a pass of a derived order is, where it walks the train data."""
    if isinstance(order, OrderFile) or order.kind != "derived" or unit != "sequence":
        return None
    if order.name == "torch.replacement":
        return None
    given = {name: parameter.default for name, parameter in TAIL.items()} | {p.name: p.value for p in order.parameters}
    return pass_length(train_sequences, str(given["tail"]), int(given["block"]))


def spread(family: PlanFamily, sequences_most: int) -> EvaluationSet:
    """Sequences spread evenly over a family: neighbours would be of one document, and their loss mean little."""
    held = family.sequences
    sequences = min(held, sequences_most)
    stride = held // sequences
    first = family.first_sequence_id + (held - 1 - (sequences - 1) * stride) // 2
    return EvaluationSet(
        evaluation_set=TRAIN_PROBE if family.split_kind == "train" else family.split_name,
        split_name=family.split_name,
        source_family_id=family.source_family_id,
        first_sequence_id=first,
        end_sequence_id=first + (sequences - 1) * stride + 1,
        stride=stride,
        sequences=sequences,
    )


def model_of(run_id: str, wish: Wish) -> TensorLayout | ModelDescriptor:
    """The model by its tensors. Raises UsageError for one without any."""
    if isinstance(wish.model, (TensorLayout, ModelDescriptor)):
        return wish.model
    tensors = [_tensor(name, wish.model[name]) for name in sorted(wish.model)]
    if not tensors:
        raise UsageError("model: no tensors; give model.state_dict(), or each tensor's name, dtype and shape")
    return TensorLayout(
        schema_version=LAYOUT_SCHEMA, model_id=run_id, architecture=wish.architecture,
        tokenizer_binding=wish.tokenizer, tensors=tensors,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
    )  # fmt: skip


def _tensor(name: str, tensor: Any) -> LayoutTensor:
    dtype, shape = (
        tensor if isinstance(tensor, tuple) else (getattr(tensor, "dtype", None), getattr(tensor, "shape", ()))
    )
    if dtype is None:
        raise UsageError(f"model: {name} has no dtype and shape; leave out of model= what is no tensor")
    return LayoutTensor(name=name, dtype=str(dtype).removeprefix("torch."), shape=[int(length) for length in shape])


def require_same(run_id: str, declared: SamplingPlan, wished: SamplingPlan) -> None:
    """Raise UsageError where a resume asks for another plan than the one that the run declared."""
    for name in SamplingPlan.__struct_fields__:
        before, now = getattr(declared, name), getattr(wished, name)
        if before != now:
            raise UsageError(
                f"run {run_id} was started with another {name}: {_said(before)}, and now {_said(now)}; resume it as it "
                "was started, or begin a new run"
            )


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()[:200]
