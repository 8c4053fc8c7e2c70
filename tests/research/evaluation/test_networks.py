"""Weights by path: what is refused, in words that help."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from cleanplate.errors import WeightsError
from cleanplate.research.evaluation.learned import I3d
from cleanplate.research.evaluation.run import load_networks


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return I3d().state_dict()


def save(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def test_nothing_given_is_nothing_loaded() -> None:
    networks = load_networks()
    assert networks.by_clip is None
    assert networks.lpips is None
    assert networks.checksums == {}


def test_an_old_file_loads_and_its_checksum_is_told(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = save(tmp_path / "rgb.pt", state, _use_new_zipfile_serialization=False)
    networks = load_networks(i3d=path)
    assert networks.by_clip is not None
    assert networks.by_training is not None
    assert networks.checksums == {"rgb.pt": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read .*none\.pt: No such file"):
        load_networks(i3d=tmp_path / "none.pt")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        load_networks(i3d=tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut short"])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged\.pt"):
        load_networks(lpips=path)


def test_a_file_cut_short(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = save(tmp_path / "cut.pt", state)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match=r"cut\.pt"):
        load_networks(i3d=path)


def test_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "harmful.pt", {"a": Harmful()})
    with pytest.raises(WeightsError, match="may run code"):
        load_networks(i3d=path)
    assert not (tmp_path / "harmed").exists()


def test_a_compressed_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 1_000_000)
    with pytest.raises(WeightsError, match="compressed"):
        load_networks(i3d=path)


def test_another_networks_weights(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = save(tmp_path / "i3d.pt", state)
    with pytest.raises(WeightsError, match=r"another network .* AlexNet"):
        load_networks(lpips=path)
    path = save(tmp_path / "strange.pt", {"layer.weight": torch.zeros(3)})
    with pytest.raises(WeightsError, match=r"another network .*rgb_imagenet"):
        load_networks(i3d=path)


def test_a_wrong_shape_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    name = "Conv3d_1a_7x7.conv3d.weight"
    path = save(tmp_path / "flow.pt", {**state, name: torch.zeros(64, 2, 7, 7, 7)})
    with pytest.raises(WeightsError, match="Conv3d_1a_7x7"):
        load_networks(i3d=path)


def test_numbers_that_are_none(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    broken = {**state, "Conv3d_2b_1x1.bn.bias": torch.full((64,), torch.nan)}
    with pytest.raises(WeightsError, match="not finite"):
        load_networks(i3d=save(tmp_path / "nan.pt", broken))


def test_something_else_than_weights(tmp_path: Path) -> None:
    for content in ([1, 2], {"a": 1}):
        with pytest.raises(WeightsError, match="something else"):
            load_networks(i3d=save(tmp_path / "else.pt", content))
