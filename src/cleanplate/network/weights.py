"""Checkpoints: load by name or file without running code, save atomically, convert.

Also the small network that fuses the evidence of tracking, `FusionNetwork`, and its weights.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn import functional as F

from cleanplate.arguments import check_flag, check_path
from cleanplate.errors import OutputError, WeightsError
from cleanplate.machine import adapt_to_fork, choose_device
from cleanplate.network.sttn import (
    NetworkConfig,
    SttnConfig,
    SttnNetwork,
    from_metadata,
    read_architecture,
    to_metadata,
)
from cleanplate.storage.atomic import build_file
from cleanplate.storage.paths import check_file, check_local, digest_file, open_file, spell_file

_PATCH = 2
"""Side in pixels of the squares that become the channels of one cell."""
MULTIPLE = _PATCH * 4
"""Heights and widths must be multiples of this."""


@dataclass(frozen=True)
class FusionConfig:
    """Parameters of the fusion network.

    Attributes:
        channels: number of kinds of evidence.
        widths: channels at a half, a quarter and an eighth of the resolution.
    """

    channels: int = 13
    widths: tuple[int, int, int] = (16, 32, 48)
    architecture: str = "fusion"


class FusionNetwork(nn.Module):
    """Hourglass network with skip connections that weighs the evidence of tracking."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.enter = _pair(config.channels * _PATCH**2, first)
        self.down = _pair(first, second)
        self.bottom = _pair(second, third)
        self.across = _pair(third, third)
        self.up = _pair(third + second, second)
        self.leave = _pair(second + first, first)
        self.out = nn.Conv2d(first, _PATCH**2, 1)

    def forward(self, evidence: Tensor) -> Tensor:
        """Map `evidence` `(b, channels, h, w)` to log odds of the object, `(b, h, w)`."""
        cells = rearrange(evidence, "b c (h p) (w q) -> b (c p q) h w", p=_PATCH, q=_PATCH)
        fine = self.enter(cells)
        middle = self.down(F.avg_pool2d(fine, 2))
        coarse = self.across(self.bottom(F.avg_pool2d(middle, 2)))
        middle = self.up(torch.cat([_enlarge(coarse), middle], 1))
        fine = self.leave(torch.cat([_enlarge(middle), fine], 1))
        odds: Tensor = rearrange(self.out(fine), "b (p q) h w -> b (h p) (w q)", p=_PATCH, q=_PATCH)
        return odds


def _pair(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ReLU(),
    )


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


Architecture = tuple[type[Any], Callable[[Any], nn.Module]]


def _light() -> Architecture:
    from cleanplate.network.light import LightConfig, LightNetwork

    return LightConfig, LightNetwork


def _sttn() -> Architecture:
    return SttnConfig, SttnNetwork


# Name → config and network, imported when needed.
ARCHITECTURES: dict[str, Callable[[], Architecture]] = {"light": _light, "sttn": _sttn}
EMBEDDED = Path(__file__).parent / "weights" / "default.safetensors"
TRACKING = EMBEDDED.with_name("tracking.safetensors")
_REMEDY = "get it again, or give a safetensors file or a released STTN .pth"
_MOST_BYTES = 1 << 33
"""Maximum size of a checkpoint in bytes, far above any network here."""
_STORED_TYPES = {"F16", "BF16", "F32", "F64"}


@dataclass(frozen=True)
class CheckpointInfo:
    """Description of a checkpoint saved by cleanplate.

    Attributes:
        architecture: name of the network.
        parameters: number of values.
        dtypes: sorted names of the stored types, such as F16.
        size: bytes of the file.
        checksum: SHA-256 of the file in hexadecimal digits.
        metadata: strings stored with the weights, including the config.
    """

    architecture: str
    parameters: int
    dtypes: tuple[str, ...]
    size: int
    checksum: str
    metadata: dict[str, str]


def load(
    name_or_file: str | bytes | os.PathLike[str],
    device: str | torch.device = "cpu",
    masked: bool | None = None,
) -> nn.Module:
    """Load a network in eval mode, in float32 whatever the file stores.

    Args:
        name_or_file: `default` (embedded weights), or a file: safetensors saved by cleanplate or
            a `.pth` of the released STTN.
        device: device of the network.
        masked: True or False overrides the checkpoint's setting of Equation 4.

    Raises:
        WeightsError: the checkpoint is missing, damaged, another network's, or would run code.
        InputError: an argument has the wrong type, or the device is not available.
    """
    where = choose_device(device)
    adapt_to_fork()
    if masked is not None:
        check_flag("masked", masked)
    path = locate(name_or_file)
    read = _read_ours if _is_safetensors(path) else _read_released
    return _fill(path, *read(path, masked)).to(where)


def load_tracking(path: str | os.PathLike[str] | None = None) -> FusionNetwork:
    """Load the network that weighs the evidence of tracking, in eval mode on the CPU.

    None loads the embedded one. Raises WeightsError like `load`.
    """
    adapt_to_fork()
    path = _check_embedded(TRACKING) if path is None else _check_readable(Path(path))
    header = _read_header(path)
    network = FusionNetwork(from_metadata(FusionConfig, header.metadata))
    _check_shapes(path, network, header.shapes)
    _fill(path, network, _read_tensors(path, header))
    return network


def _fill(path: Path, network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Fill `network` with its values, in float32, and set it to eval mode."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{path} holds numbers in '{name}' that are not finite; get it again"
            )
    # A private copy: a mapped file may change under a running network.
    values = {
        name: tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    network.load_state_dict(values, assign=True)
    return network.eval()


def save(
    network: nn.Module,
    path: str | os.PathLike[str],
    extra_metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a network and its config as safetensors, atomically.

    Args:
        network: has `.config`.
        path: the file to create or replace.
        extra_metadata: further strings to store; they cannot replace the config.
        dtype: type to store, such as `torch.float16`; None keeps the parameters' types.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {**(extra_metadata or {}), **to_metadata(_config(network))}
    try:
        with build_file(path) as partial:
            partial.write_bytes(to_bytes(tensors, metadata))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from None


def checksum(path: str | os.PathLike[str]) -> str:
    """Compute the SHA-256 of a file in hexadecimal; raise WeightsError if it cannot be read."""
    try:
        check_file(path, _MOST_BYTES)
        return digest_file(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def info(name_or_file: str | os.PathLike[str]) -> CheckpointInfo:
    """Describe a safetensors checkpoint of cleanplate without loading it; raise WeightsError."""
    path = locate(name_or_file)
    if not _is_safetensors(path):
        raise WeightsError(
            f"{path} is not a safetensors file; `cleanplate models convert` makes one"
        )
    header = _read_header(path)
    return CheckpointInfo(
        architecture=read_architecture(header.metadata),
        parameters=sum(math.prod(shape) for shape in header.shapes.values()),
        dtypes=header.dtypes,
        size=path.stat().st_size,
        checksum=checksum(path),
        metadata=header.metadata,
    )


@dataclass(frozen=True)
class _Header:
    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: tuple[str, ...]


def locate(name_or_file: str | bytes | os.PathLike[str]) -> Path:
    """Find the file of a checkpoint by name or path; raise WeightsError if there is none."""
    name_or_file = check_path("name_or_file", name_or_file)
    if name_or_file == "default":
        return _check_embedded(EMBEDDED)
    if name_or_file == "sttn":
        raise WeightsError(
            "the weights of 'sttn' are not part of cleanplate; give the path of a released STTN "
            ".pth or of a file saved by cleanplate"
        )
    path = Path(name_or_file)
    try:
        check_file(path, _MOST_BYTES)
    except FileNotFoundError:
        check_local(path, WeightsError)
        raise WeightsError(
            f"no checkpoint '{path}': it is neither the name 'default' nor a file"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    return path


def _check_embedded(path: Path) -> Path:
    if not path.is_file():
        raise WeightsError(
            "this build has no trained weights; give a checkpoint file, or use a method that "
            "needs no network"
        )
    try:
        expected = path.with_name(f"{path.name}.sha256").read_text().split()[0]
    except (OSError, IndexError):
        expected = ""
    if checksum(path) != expected:
        raise WeightsError("the embedded weights do not match their checksum; reinstall cleanplate")
    return path


def _is_safetensors(path: Path) -> bool:
    """Check whether a file starts as safetensors: eight bytes of length, then JSON."""
    try:
        with open_file(path) as file:
            start = file.read(9)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not start:
        raise WeightsError(f"{path} is empty; get it again")
    return start[8:] == b"{"


def _unreadable(path: str | os.PathLike[str], error: OSError) -> WeightsError:
    return WeightsError(f"cannot read {path}: {error.strerror}; check the path")


def _check_readable(path: Path) -> Path:
    """Return a path that libraries may open by name; raise WeightsError if it is no plain file."""
    try:
        check_file(path, _MOST_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from None
    return path


def _damaged(path: Path, remedy: str = _REMEDY) -> WeightsError:
    return WeightsError(f"{path} is damaged, cut short or no checkpoint at all; {remedy}")


def _read_header(path: Path) -> _Header:
    try:
        with spell_file(path) as name, safe_open(name, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            return _Header(
                metadata=dict(file.metadata() or {}),
                shapes={key: tuple(part.get_shape()) for key, part in slices.items()},
                dtypes=tuple(sorted({part.get_dtype() for part in slices.values()})),
            )
    except (SafetensorError, OSError, ValueError):
        raise _damaged(path) from None


def _read_ours(path: Path, masked: bool | None) -> tuple[nn.Module, dict[str, Tensor]]:
    header = _read_header(path)
    architecture = read_architecture(header.metadata)
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise WeightsError(f"{path} holds a network '{architecture}'; this version knows {known}")
    kind, _ = ARCHITECTURES[architecture]()
    network = _build(path, from_metadata(kind, header.metadata), masked)
    _check_shapes(path, network, header.shapes)
    return network, _read_tensors(path, header)


def _read_tensors(path: Path, header: _Header) -> dict[str, Tensor]:
    if not set(header.dtypes) <= _STORED_TYPES:
        raise WeightsError(f"{path} holds numbers of another type than float; save it again")
    try:
        with spell_file(path) as name, safe_open(name, framework="pt") as file:
            return {key: file.get_tensor(key) for key in header.shapes}
    except (SafetensorError, OSError):
        raise _damaged(path) from None


def _read_released(path: Path, masked: bool | None) -> tuple[nn.Module, dict[str, Tensor]]:
    content = unpickle_tensors(path)
    content = content.get("netG", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and _is_plain(tensor) for name, tensor in content.items()
    ):
        raise WeightsError(
            f"{path} holds something else than a network's weights; give a released STTN .pth "
            "or a file saved by cleanplate"
        )
    network = _build(path, SttnConfig(), masked)
    _check_shapes(path, network, {name: tuple(t.shape) for name, t in content.items()})
    return network, content


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.is_floating_point()
    )


def unpickle_tensors(path: Path, remedy: str = _REMEDY) -> Any:
    """Read a torch file with its safe reader, which builds tensors and plain containers only.

    Raises WeightsError; for a damaged file it names `remedy`.
    """
    _check_readable(path)
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            # torch stores without compression; a compressed entry is meant to exhaust memory.
            if unpacked > path.stat().st_size:
                raise WeightsError(f"{path} is compressed, which torch never does; not opened")
        with warnings.catch_warnings(), spell_file(path) as name:
            warnings.simplefilter(
                "ignore"
            )  # torch warns about odd files; the error says what matters
            return torch.load(name, map_location="cpu", weights_only=True, mmap=zipped)
    except WeightsError:
        raise
    # A hostile file can make the reader fail in any way; callers expect WeightsError only.
    except Exception as error:
        code = re.search(r"GLOBAL (\S+)|operand (?:147|149)\b", str(error))
        if code is None:
            raise _damaged(path, remedy) from None
        what = f" ({code[1]})" if code[1] else ""
        raise WeightsError(
            f"{path} may run code when it is opened{what} and was not opened; "
            "give a file with weights only"
        ) from None


def _config(network: nn.Module) -> NetworkConfig:
    config: NetworkConfig = network.config  # type: ignore[assignment]
    return config


def _build(path: Path, config: Any, masked: bool | None) -> nn.Module:
    """Build the network without memory or values; both come with the checkpoint's tensors."""
    if masked is not None:
        if not hasattr(config, "masked"):
            raise WeightsError(
                f"{path} holds a network '{config.architecture}', whose attention cannot be set; "
                "leave masked out"
            )
        config = dataclasses.replace(config, masked=masked)
    _, network = ARCHITECTURES[config.architecture]()
    try:
        with torch.device("meta"):
            return network(config)
    except (RuntimeError, ValueError, IndexError, ArithmeticError):
        raise WeightsError(
            f"{path} describes a network that cannot be built; get it again"
        ) from None


def _check_shapes(path: Path, network: nn.Module, found: Mapping[str, tuple[int, ...]]) -> None:
    """Raise WeightsError that names the first entry that does not fit the network."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    problems = []
    if missing:
        problems.append(f"'{missing[0]}' is missing")
    if unexpected:
        problems.append(f"'{unexpected[0]}' is unexpected")
    problems += [
        f"'{name}' is {found[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ][:1]
    if problems:
        raise WeightsError(
            f"{path} holds another network: {' and '.join(problems)}; check which file it is"
        )


def save_released(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the paper's network as a `.pth` of the released code: `{"netG": state_dict}`, float32.

    The released code has one size and no Equation 4, so weights trained with Equation 4 lose
    quality there. The file is written atomically.

    Raises:
        WeightsError: the network has another architecture.
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
