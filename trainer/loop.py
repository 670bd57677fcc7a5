"""Training: one optimizer step after another, each recorded as it happens.

    step 0:  evaluate, checkpoint                         the only root
    step k:  draw -> record -> learn, for each micro step
             sum over ranks -> clip -> update -> record
             evaluate if due -> checkpoint if due         so a checkpoint's losses are always there before it

Everything that decides a bit of the result is a function of the contracts, the settings and the checkpoint:
the order of the step's positions, the learning rate of the step, the state that the checkpoint restores. So
a run that was interrupted and resumed equals one that was not.
"""

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from psion_ledger import Checkpoint, Recorder
from psion_ledger.contracts import Contracts, encode_document
from trainer import checkpoint
from trainer.config import Settings
from trainer.environment import World
from trainer.evaluate import measure
from trainer.model import CompactDecoder, initialise, token_losses
from trainer.order import Order, micro_batch_positions, order_of
from trainer.progress import TrainingProgress
from trainer.talk import say
from trainer.tokenizer import Shards, promised_shards


@dataclass(frozen=True, kw_only=True)
class Training:
    """What training works with: the contracts (decoded JSON by role), and what was built from them.

    `first_train_id` is the id of the first train sequence, `descriptor` the model descriptor's exact text.
    """

    settings: Settings
    contracts: dict[str, Any]
    first_train_id: int
    descriptor: str
    world: World
    order: Order
    shards: Shards
    model: CompactDecoder
    optimizer: torch.optim.Optimizer
    recorder: Recorder
    artifacts: Path

    @property
    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = self.contracts["sampling_plan"]
        return plan

    @property
    def batch_sequences(self) -> int:
        """Sequences of a step, over all ranks."""
        sequences: int = self.plan["batch"]["schedule"][0]["sequences"]
        return sequences


def build(promised: Contracts, settings: Settings, world: World, recorder: Recorder, artifacts: Path) -> Training:
    """Everything that training needs, from the contracts; weights as the seed gives them."""
    texts = {role: encode_document(document) for role, document in promised.documents.items()}
    contracts = {str(role): json.loads(text) for role, text in texts.items()}
    plan, config = contracts["sampling_plan"], contracts["model_descriptor"]["config"]
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    model = CompactDecoder(config)
    initialise(model, settings.seed)
    model.to(world.device)
    if world.device.type == "cuda":
        model.compile()
    return Training(
        settings=settings,
        contracts=contracts,
        first_train_id=min(f.first_sequence_id for f in promised.sampling_plan.train_families),
        descriptor=texts["model_descriptor"],
        world=world,
        order=order_of(contracts),
        shards=Shards(
            artifacts / "corpus",
            promised_shards(plan, contracts["tokenized_corpus"]),
            plan["sequence_tokens"],
            config["vocab_size"],
        ),
        model=model,
        optimizer=make_optimizer(model, settings),
        recorder=recorder,
        artifacts=artifacts,
    )


def train(training: Training, stop_asked: Callable[[], bool]) -> str | None:
    """Train to the horizon, from the recorder's checkpoint or from nothing.

    Returns the last checkpoint's id; None when a rank was asked to stop: the step at hand is then finished
    and kept in a checkpoint. Raises Damaged when the checkpoint's files are not what was recorded.
    """
    settings, plan = training.settings, training.plan
    horizon, divisor = plan["horizon_steps"], training.batch_sequences * (plan["sequence_tokens"] - 1)
    tokens_per_step = training.batch_sequences * plan["sequence_tokens"]
    recorder, silent = training.recorder, training.world.rank > 0
    last = None if recorder.checkpoint_to_load is None else _restore(training, recorder.checkpoint_to_load)
    done = recorder.last_step
    with TrainingProgress(done=done, total=horizon, tokens_per_step=tokens_per_step, silent=silent) as progress:
        if last is None:
            say(_evaluate(training, 0))
            last = _write_checkpoint(training, 0)
        for step in range(recorder.next_step, horizon + 1):
            started_s = time.perf_counter()
            rate = learning_rate(step, settings, horizon)
            loss_sum = _learn(training, step, divisor)
            training.world.sum_gradients(training.model.parameters())
            norm = nn.utils.clip_grad_norm_(training.model.parameters(), settings.clip_norm)
            for group in training.optimizer.param_groups:
                group["lr"] = rate
            training.optimizer.step()
            training.optimizer.zero_grad(set_to_none=True)

            own_sum, grad_norm = float(loss_sum), float(norm)
            ranks = training.world.gathered_numbers(own_sum, stop_asked())
            loss_nats = sum(rank_sum for rank_sum, _ in ranks) / divisor
            stopping = any(stop for _, stop in ranks)
            recorder.step(
                loss_sum=own_sum,
                divisor=divisor,
                loss=loss_nats,
                grad_norm=grad_norm,
                learning_rate=rate,
                trace_state=checkpoint.state_sha256(checkpoint.rng_state()),
            )
            progress.step(step, loss_nats, time.perf_counter() - started_s)
            if step % settings.evaluate_every_steps == 0 or step == horizon:
                say(_evaluate(training, step))
            if step % settings.checkpoint_every_steps == 0 or step == horizon or stopping:
                last = _write_checkpoint(training, step)
            if stopping:
                return None
    return last


def _restore(training: Training, recorded: Checkpoint) -> str:
    rank, model, optimizer = training.world.rank, training.model, training.optimizer
    checkpoint.load(training.artifacts, recorded, rank=rank, model=model, optimizer=optimizer)
    training.recorder.loaded(recorded)
    return recorded.checkpoint_id


def _learn(training: Training, step: int, divisor: int) -> torch.Tensor:
    """This rank's micro steps: gradients of its part of the loss; returns its loss sum in nats, float64.

    The loss of a step is the sum over all its target tokens divided by their number, so gradients add up
    over micro steps and ranks without another factor.
    """
    settings, world = training.settings, training.world
    smoothing = training.contracts["stage_config"]["objective_config"]["label_smoothing_bps"] / 10_000
    loss_sum = torch.zeros((), dtype=torch.float64, device=world.device)
    for micro_step in range(settings.micro_steps):
        positions = micro_batch_positions(
            step,
            global_batch=training.batch_sequences,
            world_size=world.size,
            micro_steps=settings.micro_steps,
            rank=world.rank,
            micro_step=micro_step,
        )
        drawn = [training.order.sequence_at(position) for position in positions]
        ids = torch.from_numpy(training.shards.rows([sequence_id for _, sequence_id in drawn]).astype("int64"))
        training.recorder.batch([sequence_id - training.first_train_id for _, sequence_id in drawn], ids)
        with autocast(world.device):
            losses = token_losses(training.model, ids.to(world.device), smoothing)
        torch.autograd.backward(losses.sum() / divisor)
        loss_sum += losses.detach().double().sum()
    return loss_sum


def _evaluate(training: Training, step: int) -> str:
    """Rank 0 measures every declared set; returns a line for people."""
    if training.world.rank > 0:
        return ""
    nats: dict[str, float] = defaultdict(float)
    target_tokens: dict[str, int] = defaultdict(int)
    with autocast(training.world.device):
        sets, device = training.plan["evaluation_sets"], training.world.device
        for measured in measure(training.model, training.shards, sets, device):
            split = measured.evaluation_set["split_name"]
            row = measured.evaluation_set
            training.recorder.measure(
                split, family=row["source_family_id"], losses=measured.sequence_nats, tokens=measured.rows
            )
            nats[split] += measured.loss_sum_nats
            target_tokens[split] += measured.target_tokens
    losses = "  ".join(f"{split} {nats[split] / target_tokens[split]:.3f}" for split in nats)
    return f"step {step}  measured loss: {losses}"


def _write_checkpoint(training: Training, step: int) -> str:
    """Rank 0 writes, with the generators of every rank; returns the checkpoint's id."""
    rng_states = training.world.gathered(checkpoint.rng_state())
    name = checkpoint.checkpoint_id(training.recorder.attempt, step)
    if training.world.rank == 0:
        folder = checkpoint.write(
            training.artifacts,
            name,
            step=step,
            position=step * training.batch_sequences,
            model=training.model,
            optimizer=training.optimizer,
            rng_states=rng_states,
            descriptor=training.descriptor,
        )
        training.recorder.checkpoint(folder, checkpoint_id=name)
    return name


def promote(training: Training, checkpoint_id: str) -> None:
    """Name the run's result; its weights are read back now."""
    training.recorder.promote(checkpoint_id, label=f"{training.settings.anchor}-pretrain-final")


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 matrix products on a GPU; plain float32 on a CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW that decays matrices and leaves norms and biases alone (Loshchilov and Hutter 2019)."""
    parameters = list(model.parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.adam_epsilon,
        fused=True,
    )


def learning_rate(step: int, settings: Settings, horizon: int) -> float:
    """Linear warm-up to `learning_rate`, then a cosine to its final ratio at the horizon (1-based step)."""
    if step <= settings.warmup_steps:
        return settings.learning_rate * step / settings.warmup_steps
    progress = (step - settings.warmup_steps) / (horizon - settings.warmup_steps)
    ratio = settings.final_learning_rate_ratio
    return settings.learning_rate * (ratio + (1 - ratio) * (1 + math.cos(math.pi * progress)) / 2)
