"""The networks as pure tensors: generator, discriminator, losses, checkpoints."""

from cleanplate.model.config import SttnConfig
from cleanplate.model.discriminator import Discriminator
from cleanplate.model.generator import SttnNetwork
from cleanplate.model.initialisation import initialise
from cleanplate.model.weights import EMBEDDED, CheckpointInfo, checksum, info, load, locate, save

__all__ = [
    "EMBEDDED",
    "CheckpointInfo",
    "Discriminator",
    "SttnConfig",
    "SttnNetwork",
    "checksum",
    "info",
    "initialise",
    "load",
    "locate",
    "save",
]
