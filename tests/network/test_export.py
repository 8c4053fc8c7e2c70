"""ONNX Runtime computes what torch does, at lengths and sizes that were not traced."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from cleanplate.errors import InputError
from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.network.light import LightNetwork
from cleanplate.research.export import export_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
pytestmark = pytest.mark.filterwarnings("ignore")
old_torch = pytest.mark.skipif(
    not hasattr(torch.export.Dim, "AUTO"), reason="the extra [export] needs torch 2.6"
)

# Sums in another order: some twenty layers of float32.
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module", params=[False, True])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SttnNetwork, dict[str, onnxruntime.InferenceSession]]:
    config = SttnConfig(channels=8, widths=(4, 6), blocks=1)
    for needed in ("onnx", "onnxscript"):
        pytest.importorskip(needed, reason="needs the extra [export]")
    network = SttnNetwork(dataclasses.replace(config, masked=request.param)).eval()
    initialise(network, torch.Generator().manual_seed(5), deviation=0.2)
    paths = export_onnx(network, tmp_path_factory.mktemp("onnx"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return network, {path.stem: onnxruntime.InferenceSession(path, options) for path in paths}


@old_torch
@pytest.mark.slow  # the exporter takes ten seconds of its own
@pytest.mark.parametrize(("t", "height", "width"), [(3, 61, 77), (1, 48, 48), (5, 37, 101)])
def test_all_parts_match_at_any_length_and_size(exported, rng, t, height, width):
    network, sessions = exported
    masks = torch.zeros(1, t, 1, height, width)
    masks[..., : height // 2, width // 4 : width // 2] = 1
    frames = (torch.rand(1, t, 3, height, width, generator=rng) * 2 - 1) * (1 - masks)

    def run(part: str, *inputs: torch.Tensor) -> torch.Tensor:
        session = sessions[part]
        names = [node.name for node in session.get_inputs()]
        # An unmasked network does not look at masks, and the exporter drops what is not used.
        feed = {name: x.numpy() for name, x in zip(names, inputs, strict=False)}
        return torch.from_numpy(np.asarray(session.run(None, feed)[0]))

    with torch.inference_mode():
        features = network.encode(frames)
        transformed = network.transform(features, masks)
        decoded = network.decode(transformed)
    torch.testing.assert_close(run("encoder", frames), features, **CLOSE)
    torch.testing.assert_close(run("transformer", features, masks), transformed, **CLOSE)
    torch.testing.assert_close(run("decoder", transformed), decoded, **CLOSE)
    whole = run("decoder", run("transformer", run("encoder", frames), masks))
    torch.testing.assert_close(
        whole[..., :height, :width], network(frames, masks).detach(), **CLOSE
    )


def test_the_light_network_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="only networks of the architecture 'sttn'"):
        export_onnx(LightNetwork(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_older_torch_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.delattr(torch.export.Dim, "AUTO", raising=False)
    network = SttnNetwork(SttnConfig(channels=4, widths=(2, 2), blocks=1, scales=(1, 2)))
    with pytest.raises(InputError, match=r"export needs torch 2\.6"):
        export_onnx(network, tmp_path / "out")
