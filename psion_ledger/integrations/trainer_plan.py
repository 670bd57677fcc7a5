"""What a Trainer of transformers promises: the order of its loader, batches, horizon, evaluations and saves."""

from pathlib import Path
from typing import Any

from psion_ledger import orders
from psion_ledger.contracts.sampling_plan import Cadence
from psion_ledger.errors import UsageError
from psion_ledger.integrations import token_rows

# No evaluation set is sampled: the whole family is measured.
_EVERY_ROW = 2**31 - 1
SETTINGS = (
    "optim", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "adam_beta1", "adam_beta2",
    "adam_epsilon", "max_grad_norm", "label_smoothing_factor", "seed", "data_seed", "bf16", "fp16", "torch_compile",
    "average_tokens_across_devices",
)  # fmt: skip


def require_recordable(trainer: Any) -> None:
    """Raise UsageError for what this recorder does not understand, before anything is trained."""
    args = trainer.args
    why = {
        "auto_find_batch_size=True: batches would change while they are recorded": args.auto_find_batch_size,
        "more than one GPU in a process: start one process for each with torchrun": args.n_gpu > 1,
        "tensor, context or sequence parallel ranks: they share batches, and only data parallel ones are recorded": (
            trainer.get_tp_size() * trainer.get_cp_size() * trainer.get_sp_size() > 1
        ),
        "dispatch_batches=True: rows lose their numbers on the way to the ranks": (
            trainer.accelerator.dispatch_batches is True
        ),
        "split_batches=True: give each rank its own batch": trainer.accelerator.split_batches,
    }
    for reason, found in why.items():
        if found:
            raise UsageError(f"a recorded Trainer cannot have {reason}; change it, or give ledger=None")


def promises(trainer: Any, loader: Any) -> dict[str, Any]:
    """The arguments of `psion_ledger.record` that say how a trainer trains; its state has its horizon already."""
    args, state = trainer.args, trainer.state
    steps_a_pass = -(-len(loader) // args.gradient_accumulation_steps)
    evaluated = trainer.eval_dataset is not None
    return {
        **_batches(trainer, loader),
        "layout": "micro_major",
        "take": "contiguous",
        "horizon_steps": state.max_steps,
        "evaluation_sequences": {token_rows.EVALUATION: _EVERY_ROW} if evaluated else {},
        "evaluations": _evaluations(args, state, steps_a_pass) if evaluated else None,
        "checkpoints": _cadence(args.save_strategy, state.save_steps, steps_a_pass),
        "loss_divisor": "target_tokens" if divides_by_targets(trainer) else "other",
        "norm_is_global": True,
        "rate_is_global": True,
        "model": trainer.model.state_dict(),
        "architecture": type(trainer.model).__name__,
        "settings": {name: getattr(args, name, None) for name in SETTINGS},
        "deterministic": bool(args.full_determinism),
        "data_workers": args.dataloader_num_workers,
    }


def _batches(trainer: Any, loader: Any) -> dict[str, Any]:
    """The order, and how long passes and batches are. Where batches differ in size, that is not promised."""
    world, micro = trainer.accelerator.num_processes, getattr(loader.batch_sampler, "batch_size", None)
    if sampler_of(loader) is None or not isinstance(micro, int):
        why = f"the batches are chosen by {type(loader.batch_sampler).__name__}, whose order cannot be derived"
        return {"order": orders.undeclared(why), "batch_sequences": None}
    tail, block = _tail(loader, world, micro)
    return {
        "order": order_of(loader, tail, block),
        "pass_end": "short_batch",
        "pass_sequences": _pass(len(loader.dataset), tail, block),
        "batch_sequences": micro * trainer.args.gradient_accumulation_steps * world,
        "micro_batch_sequences": micro,
    }


def _tail(loader: Any, world: int, micro: int) -> tuple[str, int]:
    """What becomes of the rows that fill no batch of all ranks: the block that is dropped or filled up."""
    batches = loader.batch_sampler
    if getattr(batches, "drop_last", False):
        return "drop", micro * world
    if world > 1 and getattr(batches, "even_batches", False):
        return "pad", micro * world
    return "keep", 1


def _pass(rows: int, tail: str, block: int) -> int:
    from psion_ledger.orders.passes import pass_length

    if (length := pass_length(rows, tail, block)) == 0:
        raise UsageError(f"{rows} rows fill no batch of {block} over all ranks, and drop_last leaves nothing")
    return length


def order_of(loader: Any, tail: str, block: int) -> orders.Declared:
    """The order in which a prepared loader gives rows: that of accelerate's seedable sampler, by its seed."""
    from accelerate.data_loader import SeedableRandomSampler
    from torch.utils.data import SequentialSampler

    sampler = sampler_of(loader)
    said: dict[str, Any] = {} if tail == "keep" else {"tail": tail, "block": block}
    if type(sampler) is SequentialSampler:
        return orders.derived("sequential", **said)
    whole = not getattr(sampler, "replacement", True) and getattr(sampler, "num_samples", 0) == len(loader.dataset)
    if type(sampler) is SeedableRandomSampler and whole:
        return orders.derived("torch.randperm", seed=int(sampler.initial_seed), **said)
    return orders.undeclared(f"the rows are chosen by {type(sampler).__name__}, whose order cannot be derived")


def sampler_of(loader: Any) -> Any:
    """What chooses the rows, below the batches of all ranks."""
    batches = loader.batch_sampler
    while (inner := getattr(batches, "batch_sampler", None)) is not None:
        batches = inner
    return getattr(batches, "sampler", None)


def divides_by_targets(trainer: Any) -> bool:
    """Whether the Trainer divides a step's loss by what it counted in the labels of all ranks."""
    args = trainer.args
    if trainer.accelerator.num_processes > 1 and not args.average_tokens_across_devices:
        return False
    return loss_is_summed(trainer)


def loss_is_summed(trainer: Any) -> bool:
    """Whether a micro batch's loss is a sum over the step's divisor, not a mean of its own."""
    if (told := trainer.loss_is_scaled_for_ga) is not None:
        return bool(told)
    return bool(trainer.model_accepts_loss_kwargs or trainer.compute_loss_func is not None)


def _evaluations(args: Any, state: Any, steps_a_pass: int) -> Cadence | None:
    if args.eval_delay:
        return None
    return _cadence(args.eval_strategy, state.eval_steps, steps_a_pass, at_start=args.eval_on_start)


def _cadence(strategy: Any, every: Any, steps_a_pass: int, *, at_start: bool = False) -> Cadence | None:
    """When a strategy of the Trainer acts; null where it does not, or where nobody can say."""
    if strategy == "steps" and every and float(every).is_integer():
        return Cadence(every_steps=int(every), at_start=at_start, at_end=True)
    if strategy == "epoch":
        return Cadence(every_steps=steps_a_pass, at_start=at_start, at_end=True)
    return None


def place_of(given: dict[str, Any], output_dir: str) -> dict[str, Any]:
    """The run's name and the folder of its artifacts, by where the Trainer saves."""
    folder = Path(output_dir).absolute()
    run_id = given.get("run_id", folder.name)
    artifacts = Path(given.get("artifacts", folder.parent))
    if not folder.is_relative_to((artifacts / run_id).absolute()):
        raise UsageError(
            f"output_dir={output_dir}: checkpoints of run {run_id} lie below {artifacts / run_id}; give "
            "ledger=dict(ledger=..., run_id=..., artifacts=...) so that it is <artifacts>/<run_id>"
        )
    return {"run_id": run_id, "artifacts": artifacts}
