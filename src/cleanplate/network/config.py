"""Parameters of the networks, and their way into and out of a checkpoint's metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

from cleanplate.errors import WeightsError
from cleanplate.storage.inputs import parse_json

METADATA_KEY = "config"
# No network of ours comes near; a file that claims more must not cost time or memory.
_LARGEST = 4096


class NetworkConfig(Protocol):
    """What every network's frozen dataclass of parameters has."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def architecture(self) -> str:
        """Name of the network that the parameters belong to."""


Config = TypeVar("Config", bound=NetworkConfig)


@dataclass(frozen=True)
class SttnConfig:
    """Parameters of the spatial-temporal transformer network (STTN, ECCV 2020).

    Attributes:
        channels: width of the feature map; each attention head has an equal share of it.
        widths: channels at half resolution and of the first layer at a quarter resolution.
        blocks: number of transformer blocks.
        scales: one attention head each; a head's patch is the padded feature map divided by it.
        masked: True keeps patches that are mostly hole from being keys (Equation 4); the released
            weights were trained without it.
    """

    channels: int = 256
    widths: tuple[int, int] = (64, 128)
    blocks: int = 8
    scales: tuple[int, ...] = (1, 3, 6, 12)
    masked: bool = False
    architecture: str = "sttn"

    def __post_init__(self) -> None:
        if self.architecture != "sttn":
            raise ValueError(f"architecture is '{self.architecture}', not 'sttn'")
        if len(self.widths) != 2:
            raise ValueError(f"widths are two numbers, not {len(self.widths)}")
        for name, value in (
            ("channels", self.channels),
            ("widths", min(self.widths)),
            ("blocks", self.blocks),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not self.scales or min(self.scales) < 1 or math.lcm(*self.scales) > 64:
            raise ValueError("scales must be positive with a common multiple up to 64")
        if self.channels % len(self.scales):
            raise ValueError(f"{self.channels} channels do not divide by {len(self.scales)} scales")


def to_metadata(config: NetworkConfig) -> dict[str, str]:
    """Write `config` as the string metadata of a safetensors file."""
    return {METADATA_KEY: json.dumps(asdict(config), sort_keys=True)}


def read_architecture(metadata: Mapping[str, str]) -> str:
    """Name of the architecture in a checkpoint's metadata; raises WeightsError without one."""
    return str(_values(metadata).get("architecture", ""))


def from_metadata(kind: type[Config], metadata: Mapping[str, str]) -> Config:
    """Read a config of class `kind`; raises WeightsError for unknown, mistyped or bad values."""
    values = _values(metadata)
    types = {field.name: field.default for field in fields(kind)}
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise WeightsError(
            f"the checkpoint's config has an unknown entry '{unknown[0]}'; use a newer cleanplate"
        )
    try:
        return kind(**{name: _typed(name, value, types[name]) for name, value in values.items()})
    except ValueError as error:
        raise WeightsError(f"the checkpoint's config is not usable: {error}") from None


def _values(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        values = parse_json(metadata[METADATA_KEY])
    except (KeyError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise WeightsError(
            "the checkpoint does not say which network it holds; "
            "use a file saved by cleanplate or a released STTN .pth"
        )
    return values


def _typed(name: str, value: Any, default: Any) -> Any:
    """Check `value` against the field's default; JSON knows lists, a config has tuples."""
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) > _LARGEST:
            raise ValueError(f"{name} is not a list of whole numbers")
        return tuple(_typed(name, item, 0) for item in value)
    if type(default) is float and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise ValueError(f"{name} is not of type {type(default).__name__}")
    if type(value) is int and abs(value) > _LARGEST:
        raise ValueError(f"{name} is beyond {_LARGEST}")
    return value
