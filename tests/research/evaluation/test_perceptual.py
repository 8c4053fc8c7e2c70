"""LPIPS against a second, plain implementation with the names of the package lpips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cleanplate.errors import WeightsError
from cleanplate.research.evaluation.learned import Lpips
from cleanplate.research.evaluation.run import load_networks

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random weights under the names of `lpips.LPIPS(net="alex").state_dict()`."""
    generator = torch.Generator().manual_seed(0)
    found = {
        "scaling_layer.shift": torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None],
        "scaling_layer.scale": torch.tensor([0.458, 0.448, 0.450])[None, :, None, None],
    }
    for layer, (part, (outputs, inputs, side)) in enumerate(SHAPES.items()):
        size = (outputs, inputs, side, side)
        fan = inputs * side * side
        weight = torch.randn(size, generator=generator) * (2 / fan) ** 0.5
        found[f"net.slice{layer + 1}.{part}.weight"] = weight
        found[f"net.slice{layer + 1}.{part}.bias"] = torch.randn(outputs, generator=generator) / 10
        found[f"lin{layer}.model.1.weight"] = torch.rand(1, outputs, 1, 1, generator=generator)
    return found


def split(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The same as torchvision's AlexNet and the package lpips have it."""
    trunk = {f"features.{name.split('.', 2)[2]}": v for name, v in state.items() if "slice" in name}
    trunk["classifier.1.weight"] = torch.zeros(3, 3)
    return trunk, {name: tensor for name, tensor in state.items() if name.startswith("lin")}


def compute_plainly(made: np.ndarray, truth: np.ndarray, state: dict[str, Tensor]) -> float:
    """LPIPS again, by functions and the names of the package's state alone."""

    def describe(picture: np.ndarray) -> list[Tensor]:
        x = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        x = (x - state["scaling_layer.shift"]) / state["scaling_layer.scale"]
        found = []
        for layer, part in enumerate(SHAPES):
            name = f"net.slice{layer + 1}.{part}"
            if layer in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            stride, padding = (4, 2) if layer == 0 else (1, SHAPES[part][2] // 2)
            x = functional.conv2d(
                x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding
            ).clamp(min=0)
            found.append(x / ((x * x).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    total = 0.0
    for layer, (a, b) in enumerate(zip(describe(made), describe(truth), strict=True)):
        total += float(functional.conv2d((a - b) ** 2, state[f"lin{layer}.model.1.weight"]).mean())
    return total


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    made, truth = np.random.default_rng(0).integers(0, 256, (2, 70, 83, 3), dtype=np.uint8)
    return made, truth


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_equals_a_plain_implementation(
    state: dict[str, Tensor], pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    networks = load_networks(lpips=save(tmp_path / "lpips.pth", state))
    assert networks.lpips is not None
    metric = Lpips(networks.lpips)
    value = metric.add(*pictures, np.ones((70, 83), np.bool_))
    expected = compute_plainly(*pictures, state)
    assert expected > 0.01
    assert value == pytest.approx(expected, rel=1e-4)
    assert metric.add(pictures[1], pictures[1], np.ones((70, 83), np.bool_)) == 0
    assert metric.result() == pytest.approx(expected / 2, rel=1e-4)


def test_alexnet_alone_takes_the_layers_weights_of_the_package(
    state: dict[str, Tensor],
    pictures: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trunk, layers = split(state)
    home = tmp_path / "lpips" / "weights" / "v0.1"
    home.mkdir(parents=True)
    (tmp_path / "lpips" / "__init__.py").write_text("raise ImportError('not to be imported')")
    save(home / "alex.pth", layers)
    monkeypatch.syspath_prepend(str(tmp_path))
    networks = load_networks(lpips=save(tmp_path / "alexnet.pth", trunk))
    assert networks.lpips is not None
    value = Lpips(networks.lpips).add(*pictures, np.ones((70, 83), np.bool_))
    assert value == pytest.approx(compute_plainly(*pictures, state), rel=1e-4)


def test_alexnet_alone_without_the_package_says_what_to_install(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "alexnet.pth", split(state)[0])
    monkeypatch.setattr("cleanplate.research.evaluation.run.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="install the package lpips"):
        load_networks(lpips=path)


def test_frames_without_hole_or_too_small_have_no_value(
    state: dict[str, Tensor], pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    networks = load_networks(lpips=save(tmp_path / "lpips.pth", state))
    assert networks.lpips is not None
    metric = Lpips(networks.lpips)
    assert metric.add(*pictures, np.zeros((70, 83), np.bool_)) is None
    assert metric.gap is None
    small = pictures[0][:20, :20]
    assert metric.add(small, small, np.ones((20, 20), np.bool_)) is None
    assert metric.gap is not None
    assert metric.result() is None
