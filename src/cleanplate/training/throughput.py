"""How fast a recipe trains on this machine, and whether its data keep up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from cleanplate.training.config import Recipe
from cleanplate.training.data import Data
from cleanplate.training.loop import Progress, feed, setup, take_step

_WARM_UP = 2
"""Steps that are not counted: the first ones allocate, compile and fill the threads."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a few steps took."""

    steps: int
    samples: int
    """Clips and single frames in all steps, over all processes."""
    seconds: float
    waited: float
    """Seconds of them in which the device waited for data."""
    memory: int | None
    """Most memory taken on a CUDA device, bytes."""

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.samples / self.seconds

    @property
    def waiting(self) -> float:
        """Share of the time in which the device waited, 0 to 1."""
        return self.waited / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Numbers for machines."""
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
        """Lines for people."""
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
    """Train `steps` steps after a short warm-up and time them; nothing is kept."""
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
