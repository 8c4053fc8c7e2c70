"""Export networks as ONNX files, for programs without torch (needs the extra [export])."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cleanplate.errors import EncodeError, InputError
from cleanplate.network.sttn import SttnNetwork
from cleanplate.storage.atomic import build_file

NAMES = ("encoder", "transformer", "decoder")
"""Parts of a network, one file each."""

_FRAMES, _HEIGHT, _WIDTH = 3, 61, 77
"""Size of the traced clip, chosen so that frames and feature map are padded in both directions.

Tracing a size without padding would drop the padding, and be wrong for all other sizes.
"""


def export_onnx(network: nn.Module, folder: Path) -> list[Path]:
    """Write `encoder.onnx`, `transformer.onnx` and `decoder.onnx` of an `sttn` network.

    Inputs and outputs are float32, as those of `SttnNetwork.encode`, `transform` and `decode` with
    a batch of one. The number of frames and their height and width are free. Crop the decoder's
    frames, which are up to 3 pixels larger than the encoder's. `folder` is created if necessary and
    its files are replaced.

    Raises:
        InputError: the network has another architecture, or the extra is not installed.
        EncodeError: the files cannot be written.
    """
    if not isinstance(network, SttnNetwork):
        raise InputError(
            f"{type(network).__name__} cannot be exported; only networks of the architecture"
            " 'sttn' can (see the page 'Past one machine' of the documentation)"
        )
    if not hasattr(torch.export.Dim, "AUTO"):
        raise InputError("export needs torch 2.6 or newer; install cleanplate[export]")
    network = network.float().eval()
    masks = torch.zeros(1, _FRAMES, 1, _HEIGHT, _WIDTH)
    frames = torch.zeros(1, _FRAMES, 3, _HEIGHT, _WIDTH)
    features = torch.zeros(1, _FRAMES, network.config.channels, -(-_HEIGHT // 4), -(-_WIDTH // 4))
    methods = (network.encode, network.transform, network.decode)
    inputs = ({"frames": frames}, {"features": features, "masks": masks}, {"features": features})
    outputs = ("features", "transformed", "frames")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _write(_Part(network, method), given, output, folder / f"{name}.onnx")
            for name, method, given, output in zip(NAMES, methods, inputs, outputs, strict=True)
        ]
    except OSError as error:
        raise EncodeError(f"'{folder}' cannot be written: {error.strerror}") from None


class ExportedNetwork:
    """The exported parts of a network in ONNX Runtime, with one thread per processor."""

    def __init__(self, network: SttnNetwork, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        self._parts = {
            path.stem: onnxruntime.InferenceSession(path, options)
            for path in export_onnx(network, folder / "onnx")
        }

    def fill(self, images: Tensor, masks: Tensor, count: int) -> Tensor:
        """Fill the first `count` of the frames (t, 3, h, w); masks (t, 1, h, w), 1 = hole."""
        features = self._run("encoder", images)
        mixed = self._run("transformer", features, masks)
        return self._run("decoder", mixed[:count])

    def _run(self, part: str, *inputs: Tensor) -> Tensor:
        session = self._parts[part]
        names = [node.name for node in session.get_inputs()]
        # A network that ignores masks is exported without that input.
        feed = {name: x[None].numpy() for name, x in zip(names, inputs, strict=False)}
        return torch.from_numpy(np.asarray(session.run(None, feed)[0]))[0]


class _Part(nn.Module):
    """Method of a network as a module."""

    def __init__(self, network: nn.Module, method: Any) -> None:
        super().__init__()
        self.network, self._method = network, method
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self._method(*inputs)
        return result


def _write(part: _Part, inputs: dict[str, Tensor], output: str, path: Path) -> Path:
    """Trace one part with free length and size, and move its file into place."""
    free = {1: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO, 4: torch.export.Dim.AUTO}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the exporter about torch itself
            program = torch.onnx.export(
                part,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=[output],
                dynamo=True,
                dynamic_shapes=(tuple(free for _ in inputs),),
                verbose=False,
            )
    except ImportError:
        raise InputError("export needs onnx and onnxscript; install cleanplate[export]") from None
    assert program is not None
    with build_file(path) as partial:
        program.save(partial)
    return path
