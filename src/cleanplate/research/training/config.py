"""Recipes: everything that determines a training run; its state on disk and its log."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleanplate.arguments import describe_bytes
from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.network.light import LightConfig
from cleanplate.network.sttn import SttnConfig
from cleanplate.network.weights import unpickle_tensors
from cleanplate.research.data.sampling import Sampling
from cleanplate.storage.atomic import build_file


@dataclass(frozen=True)
class LossWeights:
    """Weights of the generator's loss terms; defaults of the paper.

    Attributes:
        hole: L1 inside holes.
        valid: L1 outside holes.
        adversarial: the hinge term through the discriminator.
    """

    hole: float = 1.0
    valid: float = 1.0
    adversarial: float = 0.01


@dataclass(frozen=True, slots=True)
class LightLossWeights:
    """Weights of the loss terms of the light network."""

    absolute: float = 1.0
    """L1 in the hole; 0, together with `square` 0, trains the copies without the synthesis."""
    square: float = 1.0
    """Squared error in the hole: large errors decide the PSNR."""
    copies: float = 0.5
    """L1 and squared error in the hole before the synthesis adds to it."""
    places: float = 0.5
    """Complete source frame, sampled at the matched positions, against the complete target."""
    coarse: float = 0.5
    """The same at 1/16 resolution, as a soft copy weighted by the scores."""

    @property
    def synthesise(self) -> bool:
        """Whether the synthesis is trained."""
        return self.absolute > 0 or self.square > 0


@dataclass(frozen=True, slots=True)
class Adversary:
    """Adversarial training with a discriminator (Zeng et al. 2020, section 3.3)."""

    weight: float = 0.01
    """Weight of the generator's adversarial term."""
    begin: float = 0.0
    """Fraction of the run, 0 to 1, after which the discriminator is used."""
    width: int = 64
    """Channels of the first layer of the discriminator."""
    mix_clips: bool = False
    """Convolve across the clips of a batch, as the released trainer does; for parity only."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training run. Times are wall time; give the length as `steps` or `minutes`."""

    network: LightConfig | SttnConfig = field(default_factory=LightConfig)
    sampling: Sampling = field(default_factory=Sampling)
    light_losses: LightLossWeights = field(default_factory=LightLossWeights)
    """Terms of the light network."""
    sttn_losses: LossWeights = field(default_factory=LossWeights)
    """Terms of the paper's network."""
    adversary: Adversary | None = None
    start: str | None = None
    """Name or file of initial weights; their configuration replaces `network`."""
    learn: tuple[str, ...] = ()
    """Trained parts of the network, such as `synthesis`; empty trains all."""
    batch: int = 4
    """Clips per step, over all processes."""
    stills: Sampling | None = None
    """Single frames added to each step: frames of one clip are alike, and synthesis of what no
    frame shows needs many different pictures."""
    still_batch: int = 12
    """Single frames per step, over all processes."""
    steps: int | None = None
    minutes: float | None = None
    rate: float = 8e-4
    """Peak learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 1e-8
    """Adam's epsilon; much smaller gradients hardly change a weight."""
    decay: float = 0.01
    """Weight decay."""
    warm_up: int = 100
    """Steps of linear warm-up to the peak rate."""
    drop_every: int | None = None
    """Divide the rate by ten every N steps; None decays along half a cosine to 2 %."""
    clip: float = 1.0
    """Gradient clipping norm; 0 disables clipping."""
    average: float = 0.995
    """Decay of the moving average of the weights, which is saved; 0 saves the last weights."""
    precision: str = "fp32"
    """fp32 or bf16 (automatic mixed precision)."""
    channels_last: bool = False
    compile: bool = False
    """Compile the network with torch.compile."""
    seed: int = 1
    checkpoint_minutes: float = 5.0
    validate_minutes: float = 15.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a recipe has a length in steps or in minutes, and not in both")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision is fp32 or bf16, not '{self.precision}'")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.batch}")


RECIPES: dict[str, Recipe] = {
    # The embedded weights: a small network and small pictures, feasible on two cores.
    "light-cpu": Recipe(
        minutes=100,
        stills=Sampling(size=(192, 288), frames=1, zoom=1.0, photographs=0.5),
        still_batch=8,
    ),
    # The same network on an accelerator.
    "light": Recipe(
        sampling=Sampling(size=(192, 256), frames=7, zoom=1.3),
        adversary=Adversary(begin=2 / 3),
        batch=16,
        steps=60_000,
        rate=4e-4,
        warm_up=1000,
        average=0.999,
        precision="bf16",
        channels_last=True,
    ),
    # The paper's recipe: Section 4.2, and the released trainer.
    "sttn": Recipe(
        network=SttnConfig(masked=True),
        sampling=Sampling(size=(240, 432), frames=5, released=True),
        adversary=Adversary(),
        batch=8,
        steps=500_000,
        rate=1e-4,
        betas=(0.0, 0.99),
        decay=0.0,
        warm_up=1,
        drop_every=150_000,
        clip=0.0,
        average=0.0,
    ),
}


def make_folder(folder: Path, needed: int = 0) -> None:
    """Create a run's folder and check that a checkpoint of `needed` bytes will fit.

    Raises OutputError if it cannot be made or written to, or its disk is too full.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.pt.*.part"):
            left.unlink(missing_ok=True)  # left by a run that was killed while writing
        probe.touch()
        probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be the run's folder ({error.strerror}); choose another one"
        ) from error
    # A new checkpoint is complete before the old one is removed.
    if free < needed:
        raise OutputError(
            f"{folder}: a checkpoint takes {describe_bytes(needed)} and {describe_bytes(free)} are"
            " free; free disk space or choose another folder"
        )


def save_state(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write `state` to `path`; raise CleanplateError if writing fails."""
    try:
        with build_file(path) as partial, partial.open("wb") as file:
            torch.save({**state, "config": asdict(recipe.network)}, file)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CleanplateError(
            f"{path}: the checkpoint cannot be written ({reason}); free disk space and continue"
        ) from error


def load_state(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Read a file of `save_state` without running code from it.

    Raises InputError if it is damaged, belongs to another network, or would run code.
    """
    state: dict[str, Any] = unpickle_tensors(path, "delete it to start from scratch")
    try:
        stored = dict(state["config"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a checkpoint of a run; delete it to start from scratch"
        ) from error
    wanted = asdict(recipe.network)
    differing = [key for key in wanted if stored.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"{path}: the checkpoint is of another network ({', '.join(differing)} differ); "
            "use its recipe or another run folder"
        )
    return state


class Journal:
    """Log of events, `log.jsonl` in the run's folder; a silent one writes nothing."""

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.folder, self.silent = folder, silent
        self._board = None if silent else _open_board(folder)

    def write(self, kind: str, step: int, seconds: float, values: dict[str, Any]) -> None:
        """Write one event; numbers also go to TensorBoard as `kind/name`."""
        if self.silent:
            return
        line = {"kind": kind, "step": step, "minutes": round(seconds / 60, 3), **values}
        try:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CleanplateError(
                f"{self.folder}: the log cannot be written ({error.strerror}); free disk space"
            ) from error
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def show(self, name: str, step: int, picture: Tensor) -> None:
        """Add a uint8 picture `(3, h, w)` to TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture, step)

    def close(self) -> None:
        """Flush TensorBoard."""
        if self._board is not None:
            self._board.close()


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
