"""The networks as pure tensors, the same networks as they run, and their checkpoints."""

from cleanplate.network.sttn import SttnConfig, SttnNetwork, initialise
from cleanplate.network.weights import EMBEDDED, CheckpointInfo, checksum, info, load, locate, save

__all__ = [
    "EMBEDDED",
    "CheckpointInfo",
    "SttnConfig",
    "SttnNetwork",
    "checksum",
    "info",
    "initialise",
    "load",
    "locate",
    "save",
]
