"""Recipes: all settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleanplate.network.light import LightConfig
from cleanplate.network.sttn import SttnConfig
from cleanplate.research.data.sampling import Sampling
from cleanplate.research.training.losses import LightLossWeights, LossWeights


@dataclass(frozen=True, slots=True)
class Adversary:
    """Settings of the discriminator (Zeng et al. 2020, section 3.3)."""

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
    """Steps after which the rate is divided by ten; None: half a cosine down to 2 %."""
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
