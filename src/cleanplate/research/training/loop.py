"""Training run: `setup`, `fit`, `main`; batches of samples; throughput."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cleanplate.errors import CleanplateError, InputError
from cleanplate.network import save
from cleanplate.network.light import LightNetwork
from cleanplate.research.evaluation.metric import measure_psnr
from cleanplate.research.training.config import Journal, Recipe, load_state, make_folder, save_state
from cleanplate.research.training.feed import Data, Feed, contact_sheet, fill
from cleanplate.research.training.objective import (
    Batch,
    Judge,
    Objective,
    agree,
    make_network,
    rank,
    world,
)

_log = logging.getLogger(__name__)
Progress = Callable[[int, int | None], None]
_LAST = "last.pt"
_EVERY = 20
"""Steps between two log lines."""


@dataclass
class Run:
    """State of a training run."""

    recipe: Recipe
    folder: Path
    data: Data
    device: torch.device
    network: nn.Module
    objective: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    judge: Judge | None
    journal: Journal
    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds that the device waited for data since this process began."""
    recent: list[dict[str, float]] = field(default_factory=list)

    @property
    def progress(self) -> float:
        """Fraction of the run that is done, 0 to 1."""
        if self.recipe.steps is not None:
            return self.step / self.recipe.steps
        return self.seconds / (60 * (self.recipe.minutes or 1))

    @property
    def samples(self) -> int:
        """Clips and single frames per step, over all processes."""
        return self.recipe.batch + (self.recipe.still_batch if self.data.stills else 0)

    @property
    def kept(self) -> nn.Module:
        """Weights to save: the moving average if there is one."""
        return self.average if self.recipe.average else self.network


def main(
    recipe: Recipe,
    folder: Path,
    data: Data,
    device: torch.device,
    progress: Progress | None = None,
    pause_after: float | None = None,
) -> Run:
    """Set up and train to the end; save the weights as `folder/weights.safetensors`."""
    run = setup(recipe, folder, data, device)
    fit(run, progress, pause_after)
    return run


def setup(recipe: Recipe, folder: Path, data: Data, device: torch.device) -> Run:
    """Create networks and optimizers; resume from the checkpoint in `folder` if there is one."""
    for batch in (recipe.batch, recipe.still_batch):
        if batch % world():
            raise InputError(f"a batch of {batch} does not divide by {world()} processes")
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    network = make_network(recipe).to(device).to(memory_format=layout)  # type: ignore[call-overload]
    make_folder(folder, _count_bytes(network, recipe))
    run = Run(
        recipe=recipe,
        folder=folder,
        data=data,
        device=device,
        network=network,
        objective=Objective(network, recipe),
        average=copy.deepcopy(network).requires_grad_(False),
        optimizer=torch.optim.AdamW(
            network.parameters(),
            recipe.rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.decay,
        ),
        judge=Judge(recipe.adversary, recipe, device) if recipe.adversary else None,
        journal=Journal(folder, silent=rank() != 0),
    )
    if (folder / _LAST).exists():
        _restore(run, load_state(folder / _LAST, recipe))
    _choose_parts(network, recipe)
    if recipe.compile:
        run.objective = cast(nn.Module, torch.compile(run.objective))
    if world() > 1:
        run.objective = DistributedDataParallel(run.objective)
    return run


def fit(run: Run, progress: Progress | None = None, pause_after: float | None = None) -> None:
    """Train to the end of the recipe, or for `pause_after` minutes; the run can resume later.

    Raises CleanplateError if the loss is not a number.
    """
    recipe = run.recipe
    pause = run.seconds + 60 * (math.inf if pause_after is None else pause_after)
    saved = validated = run.seconds
    clock = time.monotonic() - run.seconds
    meter = _Meter(run)
    with feed(run) as batches:
        while run.progress < 1 and run.seconds < pause:
            run.recent.append(take_step(run, *batches.next()))
            run.seconds = agree(time.monotonic() - clock, run.device)
            run.waited = batches.waited
            if len(run.recent) == _EVERY:
                meter.report()
            if progress is not None:
                done = run.step * run.samples
                progress(done, round(done / run.progress))
            if run.seconds - saved > 60 * recipe.checkpoint_minutes:
                saved = run.seconds
                keep(run)
            if run.seconds - validated > 60 * recipe.validate_minutes:
                validated = run.seconds
                validate(run)
    keep(run)
    validate(run)
    run.journal.close()


def feed(run: Run) -> Feed:
    """Iterate over batches from the run's next step on."""
    sources = [(run.data.clips, run.recipe.batch)]
    if run.data.stills is not None:
        sources.append((run.data.stills, run.recipe.still_batch))
    return Feed(sources, run.step, run.device)


def validate(run: Run) -> float:
    """Measure and log the mean hole PSNR (dB) of the weights to save on held-out cases."""
    if rank() != 0 or not run.data.cases:
        return math.nan
    run.kept.eval()
    results = [fill(run.kept, case, run.device) for case in run.data.cases]
    run.network.train()
    scores = [
        measure_psnr(result[case.masks], case.frames[case.masks])
        for result, case in zip(results, run.data.cases, strict=True)
    ]
    psnr = float(np.mean(scores))
    values = {"psnr": round(psnr, 3), "scores": np.round(scores, 2).tolist()}
    run.journal.write("validation", run.step, run.seconds, values)
    run.journal.show("held out", run.step, contact_sheet(run.data.cases[:8], results[:8]))
    return psnr


def keep(run: Run) -> None:
    """Write the checkpoint for resuming, and the weights to save as safetensors."""
    if rank() != 0:
        return
    state = {
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "judge": run.judge.state() if run.judge else None,
        "step": run.step,
        "seconds": run.seconds,
    }
    save_state(run.folder / _LAST, state, run.recipe)
    save(run.kept, run.folder / "weights.safetensors", {"steps": str(run.step)}, torch.float16)


def take_step(run: Run, clips: Batch, stills: Batch | None = None) -> dict[str, float]:
    """Train one step of the generator and, if used, the discriminator; return the loss terms."""
    recipe, numbers = run.recipe, {}
    rate = recipe.rate * _schedule(run)
    optimizers = [run.optimizer, *([run.judge.optimizer] if run.judge else [])]
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = rate
    run.network.train()
    with torch.autocast(run.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        terms, made = run.objective(clips, stills)
    total = terms["total"].float()
    if run.judge is not None and run.progress >= run.judge.config.begin:
        made = made.float()
        numbers["judge"] = run.judge.learn(clips[0], made)
        total = total + run.judge.persuade(made)
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), recipe.clip or math.inf)
    _check_finite(run, float(norm), float(total.item()))
    run.optimizer.step()
    run.step += 1
    _update_average(run)
    numbers |= {name: float(term.item()) for name, term in terms.items()}
    return {**numbers, "norm": float(norm), "rate": rate}


def _restore(run: Run, state: dict[str, Any]) -> None:
    try:
        run.network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        if run.judge is not None and state["judge"] is not None:
            run.judge.restore(state["judge"])
        run.step, run.seconds = state["step"], state["seconds"]
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(
            f"{run.folder / _LAST}: the checkpoint does not fit the recipe, in its discriminator "
            "for example; use the recipe it was made with or another run folder"
        ) from error
    _log.info("going on from step %d", run.step)


def _count_bytes(network: nn.Module, recipe: Recipe) -> int:
    """Estimate the bytes of a checkpoint: weights, average, Adam's two moments, fp16 weights."""
    numbers = sum(value.numel() for value in network.parameters())
    judge = 18e6 * (recipe.adversary.width / 64) ** 2 if recipe.adversary else 0
    return int(numbers * (4 * 4 + 2) + judge * 3 * 4)


def _choose_parts(network: nn.Module, recipe: Recipe) -> None:
    """Freeze all parts except those that the recipe names or its losses reach."""
    parts = dict(network.named_children())
    unknown = [name for name in recipe.learn if name not in parts]
    if unknown:
        raise InputError(f"the network has no part '{unknown[0]}'; it has {', '.join(parts)}")
    if recipe.learn:
        for name, part in parts.items():
            part.requires_grad_(name in recipe.learn)
    elif isinstance(network, LightNetwork):
        network.synthesis.requires_grad_(recipe.light_losses.synthesise)


def _schedule(run: Run) -> float:
    """Compute the rate: warm-up, then half a cosine to 2 %, or a tenth every `drop_every` steps."""
    recipe = run.recipe
    start = min(1.0, (run.step + 1) / recipe.warm_up)
    if recipe.drop_every is not None:
        return start * 0.1 ** (run.step // recipe.drop_every)
    return start * (0.02 + 0.49 * (1 + math.cos(math.pi * min(run.progress, 1))))


@torch.no_grad()
def _update_average(run: Run) -> None:
    """Exponential moving average with a shorter memory in the first steps."""
    if not run.recipe.average:
        return
    decay = min(run.recipe.average, (1 + run.step) / (10 + run.step))
    for kept, new in zip(run.average.parameters(), run.network.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


def _check_finite(run: Run, norm: float, loss: float) -> None:
    if math.isfinite(norm) and math.isfinite(loss):
        return
    kept = run.folder / _LAST
    rest = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint was made yet"
    raise CleanplateError(
        f"the loss is not a number at step {run.step}; {rest}: continue with a lower rate"
    )


class _Meter:
    """Writer of log lines: means of the last steps, speed, and time spent waiting for data."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seconds, self._waited = run.seconds, run.waited

    def report(self) -> None:
        """Write one line about the steps since the last one."""
        run, recent = self._run, self._run.recent
        values = {
            name: round(sum(entry.get(name, 0.0) for entry in recent) / len(recent), 6)
            for name in recent[-1]
        }
        took = max(run.seconds - self._seconds, 1e-6)
        values["samples_per_second"] = round(len(recent) * run.samples / took, 3)
        values["waiting"] = round((run.waited - self._waited) / took, 4)
        self._seconds, self._waited = run.seconds, run.waited
        run.journal.write("train", run.step, run.seconds, values)
        recent.clear()


_WARM_UP = 2
"""Warm-up steps, not measured: they allocate, compile and start the thread pool."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Time and memory of some steps."""

    steps: int
    samples: int
    """Clips and single frames in all steps, over all processes."""
    seconds: float
    waited: float
    """Time in seconds that the device waited for data."""
    memory: int | None
    """Peak memory of a CUDA device, in bytes."""

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.samples / self.seconds

    @property
    def waiting(self) -> float:
        """Fraction of the time in which the device waited, 0 to 1."""
        return self.waited / self.seconds

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "steps": self.steps,
            "samples": self.samples,
            "seconds": round(self.seconds, 3),
            "samples_per_second": round(self.rate, 3),
            "seconds_per_step": round(self.seconds / self.steps, 4),
            "share_waiting_for_data": round(self.waiting, 4),
            "peak_device_bytes": self.memory,
        }

    def summary(self) -> list[str]:
        """Format the results as text."""
        lines = [
            f"samples a second   {self.rate:.2f}",
            f"seconds a step     {self.seconds / self.steps:.3f}",
            f"waiting for data   {self.waiting:.1%} of the time",
        ]
        if self.memory is not None:
            lines.append(f"device memory      {self.memory / 2**30:.2f} GiB at most")
        return lines


def measure(
    recipe: Recipe, data: Data, device: torch.device, steps: int, progress: Progress | None = None
) -> Throughput:
    """Train `steps` steps after a short warm-up and time them; nothing is saved."""
    with TemporaryDirectory() as folder:
        run = setup(recipe, Path(folder), data, device)
        began = waited = 0.0
        with feed(run) as batches:
            for step in range(_WARM_UP + steps):
                if step == _WARM_UP:
                    began, waited = time.monotonic(), batches.waited
                take_step(run, *batches.next())
                if progress is not None:
                    progress(step + 1, _WARM_UP + steps)
            seconds, waited = time.monotonic() - began, batches.waited - waited
        run.journal.close()
    samples = steps * (recipe.batch + (recipe.still_batch if data.stills else 0))
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Throughput(steps, samples, seconds, waited, memory)
