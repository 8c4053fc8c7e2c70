"""Weights for the released STTN code: the way back from our files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import torch
from torch import nn

from cleanplate.errors import OutputError, WeightsError
from cleanplate.files import build_file
from cleanplate.model.config import SttnConfig


def save_released(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the paper's network as a `.pth` of the released code: `{"netG": state_dict}`, float32.

    The released code knows one size and no Equation 4: weights trained with it lose something
    there. `path` gets a complete file or none.

    Raises:
        WeightsError: the network is another one.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    config = getattr(network, "config", None)
    if not isinstance(config, SttnConfig) or dataclasses.replace(config, masked=False) != (
        SttnConfig()
    ):
        raise WeightsError(
            f"{path}: the released code knows the paper's network only; choose a .safetensors name"
        )
    weights = {name: value.detach().cpu().float() for name, value in network.state_dict().items()}
    try:
        with build_file(path) as partial, partial.open("wb") as file:
            torch.save({"netG": weights}, file)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OutputError(f"cannot write {path}: {reason}; choose another place") from None
