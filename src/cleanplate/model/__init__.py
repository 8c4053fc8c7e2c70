"""The networks as pure tensors: generator, discriminator, losses, checkpoints."""

from cleanplate.model.config import SttnConfig
from cleanplate.model.generator import SttnNetwork

__all__ = ["SttnConfig", "SttnNetwork"]
