"""First values of parameters, from a generator that the caller passes."""

from __future__ import annotations

import torch
from torch import nn


def initialise(network: nn.Module, generator: torch.Generator, deviation: float = 0.02) -> None:
    """Fill weights with normal noise and biases with zeros, as the released training starts.

    The vectors of spectral normalisation become random directions. Same generator state, same
    values; `generator` is on the device of the parameters.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, deviation, generator=generator)
            else:
                parameter.zero_()
        for name, buffer in network.named_buffers():
            if name.endswith(("weight_u", "weight_v")):
                buffer.normal_(generator=generator)
                buffer /= buffer.norm()
