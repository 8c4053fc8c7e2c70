"""Recipes: everything that decides a training run; its state on disk and its log."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.network.light import LightConfig
from cleanplate.network.sttn import SttnConfig
from cleanplate.network.weights import unpickle_tensors
from cleanplate.research.data.sampling import Sampling
from cleanplate.storage.atomic import build_file


@dataclass(frozen=True)
class LossWeights:
    """Shares of the generator's terms in their sum; the paper's values.

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
    """Shares of the terms."""

    absolute: float = 1.0
    """L1 in the hole; 0, with `square` 0, trains the copies alone and leaves the synthesis out."""
    square: float = 1.0
    """Squared error in the hole: large errors decide the PSNR."""
    copies: float = 0.5
    """L1 and squared error in the hole before the synthesis adds to it."""
    places: float = 0.5
    """The complete source, fetched from where the network points, against the complete target."""
    coarse: float = 0.5
    """The same at 1/16, as a soft copy by the scores."""

    @property
    def synthesise(self) -> bool:
        """Whether the synthesis takes part."""
        return self.absolute > 0 or self.square > 0


@dataclass(frozen=True, slots=True)
class Adversary:
    """The discriminator's part in a run (Zeng et al. 2020, section 3.3)."""

    weight: float = 0.01
    """Share of the generator's adversarial term."""
    begin: float = 0.0
    """Part of the run, 0 to 1, after which the discriminator takes part."""
    width: int = 64
    """Channels of its first layer."""
    mix_clips: bool = False
    """Convolve across the clips of a batch, as the released trainer does; for parity only."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run. Times are wall time; `steps` or `minutes` gives the length."""

    network: LightConfig | SttnConfig = field(default_factory=LightConfig)
    sampling: Sampling = field(default_factory=Sampling)
    light_losses: LightLossWeights = field(default_factory=LightLossWeights)
    """Terms of the light network."""
    sttn_losses: LossWeights = field(default_factory=LossWeights)
    """Terms of the paper's network."""
    adversary: Adversary | None = None
    start: str | None = None
    """Name or file of the weights to begin with; their network's sizes stand in for `network`'s."""
    learn: tuple[str, ...] = ()
    """Parts of the network that learn, such as `synthesis`; all when empty."""
    batch: int = 4
    """Clips a step, over all processes."""
    stills: Sampling | None = None
    """Single frames in each step besides the clips: frames of one clip are alike, and to learn what
    no frame shows takes many different pictures."""
    still_batch: int = 12
    """Single frames a step, over all processes."""
    steps: int | None = None
    minutes: float | None = None
    rate: float = 8e-4
    """Peak learning rate; Adam's, with `decay` as in AdamW."""
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 1e-8
    """Gradients well below this hardly move a weight."""
    decay: float = 0.01
    """Weight decay."""
    warm_up: int = 100
    """Steps until the peak."""
    drop_every: int | None = None
    """Divide the rate by ten every so many steps; None goes down half a cosine to 2 %."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    average: float = 0.995
    """Decay of the moving average of the weights, which is what is kept; 0 keeps the last."""
    precision: str = "fp32"
    """fp32 or bf16 (automatic mixed precision)."""
    channels_last: bool = False
    compile: bool = False
    """Let torch compile the network."""
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
    # The embedded weights: a small network, small pictures, whatever two cores can do.
    "light-cpu": Recipe(
        minutes=100,
        stills=Sampling(size=(192, 288), frames=1, zoom=1.0, photographs=0.5),
        still_batch=8,
    ),
    # The same network where there is an accelerator.
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
    # The paper's, section 4.2 and the released trainer.
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
    """Make a run's folder, and see at the start that a checkpoint of `needed` bytes will fit.

    Raises OutputError when it cannot be made or written to, or its disk is too full.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.pt.*.part"):
            left.unlink(missing_ok=True)  # of a run that was killed while it wrote
        probe.touch()
        probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be the run's folder ({error.strerror}); choose another one"
        ) from error
    # A new checkpoint is complete before the old one goes.
    if free < needed:
        raise OutputError(
            f"{folder}: a checkpoint takes {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are free; "
            "free disk space or choose another folder"
        )


def save_state(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write `state` to `path`; raises CleanplateError when the disk does not take it."""
    try:
        with build_file(path) as partial, partial.open("wb") as file:
            torch.save({**state, "config": asdict(recipe.network)}, file)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CleanplateError(
            f"{path}: the checkpoint cannot be written ({reason}); free disk space and go on"
        ) from error


def load_state(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Read what `save_state` wrote, without running what the file holds.

    Raises InputError when it is damaged, of another network, or would run code.
    """
    state: dict[str, Any] = unpickle_tensors(path, "delete it to start anew")
    try:
        stored = dict(state["config"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a checkpoint of a run; delete it to start anew") from error
    wanted = asdict(recipe.network)
    differing = [key for key in wanted if stored.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"{path}: the checkpoint is of another network ({', '.join(differing)} differ); "
            "use its recipe or another run folder"
        )
    return state


class Journal:
    """Appends to `log.jsonl` in the run's folder; a silent one writes nothing."""

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.folder, self.silent = folder, silent
        self._board = None if silent else _open_board(folder)

    def write(self, kind: str, step: int, seconds: float, values: dict[str, Any]) -> None:
        """One event; numbers also go to TensorBoard as `kind/name`."""
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
        """A uint8 picture `(3, h, w)` in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture, step)

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
