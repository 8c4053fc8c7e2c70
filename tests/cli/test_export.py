from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cleanplate.network import SttnConfig, SttnNetwork, initialise, save


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = SttnNetwork(SttnConfig(channels=4, widths=(2, 2), blocks=1, scales=(1, 2)))
    initialise(network, torch.Generator().manual_seed(1))
    save(network, tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


def test_the_network_and_the_folder_are_handed_over(run, checkpoint, tmp_path, monkeypatch):
    given = []

    def export(network: torch.nn.Module, folder: Path) -> list[Path]:
        given.append((type(network), folder))
        folder.mkdir()
        (folder / "encoder.onnx").write_bytes(bytes(2_000_000))
        return [folder / "encoder.onnx"]

    monkeypatch.setattr("cleanplate.research.export.export_onnx", export)
    target = tmp_path / "onnx"
    outcome = run("export", checkpoint, "-o", target)
    assert (outcome.code, outcome.out) == (0, f"{target / 'encoder.onnx'}: 2 MB\n")
    assert given == [(SttnNetwork, target)]
    refused = run("export", checkpoint, "-o", target)
    assert refused.code == 2
    assert "--overwrite" in refused.err


@pytest.mark.slow  # what the files compute is tested beside the exporter
@pytest.mark.skipif(
    not hasattr(torch.export.Dim, "AUTO"), reason="the extra [export] needs torch 2.6"
)
@pytest.mark.filterwarnings("ignore")
def test_three_files_that_onnx_runtime_loads(run, checkpoint, tmp_path):
    for needed in ("onnx", "onnxscript"):
        pytest.importorskip(needed, reason="needs the extra [export]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
    target = tmp_path / "onnx"
    outcome = run("export", checkpoint, "-o", target)
    assert outcome.code == 0, outcome.err
    names = sorted(path.name for path in target.iterdir())
    assert names == ["decoder.onnx", "encoder.onnx", "transformer.onnx"]
    for name in names:
        session = onnxruntime.InferenceSession(target / name)
        assert session.get_inputs()[0].shape[0] == 1
    refused = run("export", checkpoint, "-o", target)
    assert refused.code == 2
    assert "--overwrite" in refused.err


def test_what_cannot_be_exported_is_one_line(run, checkpoint, tmp_path):
    outcome = run("export", "default", "-o", tmp_path / "onnx")
    assert outcome.code == 2
    assert "only networks of the architecture 'sttn'" in outcome.err
    assert run("export", checkpoint, "-o", checkpoint).code == 2
    assert run("export", tmp_path / "absent.pth", "-o", tmp_path / "onnx").code == 2
    assert not (tmp_path / "onnx").exists()


def test_the_checkpoint_is_not_replaced(run, checkpoint, tmp_path):
    (tmp_path / "decoder.onnx").symlink_to(checkpoint)
    before = checkpoint.read_bytes()
    outcome = run("export", checkpoint, "-o", tmp_path, "--overwrite")
    assert (outcome.code, "decoder.onnx' would replace" in outcome.err) == (2, True)
    assert checkpoint.read_bytes() == before
