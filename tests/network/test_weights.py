from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cleanplate import network as model
from cleanplate.errors import OutputError, WeightsError
from cleanplate.network import SttnConfig, SttnNetwork, weights
from cleanplate.network.sttn import from_metadata, to_metadata
from cleanplate.research.training import Discriminator


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def saved(network: SttnNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    model.save(network, path, {"steps": "7"})
    return path


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.pth` as the released training writes it."""
    path = tmp_path_factory.mktemp("released") / "gen_00001.pth"
    torch.save({"netG": SttnNetwork().state_dict()}, path)
    return path


def refuse(path: Path | str, *words: str) -> None:
    """Loading fails with one line that has all `words`."""
    with pytest.raises(WeightsError) as caught:
        model.load(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_round_trip(network: SttnNetwork, saved: Path) -> None:
    loaded = model.load(saved)
    assert isinstance(loaded, SttnNetwork)
    assert loaded.config == network.config
    assert not loaded.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    clip, masks = torch.zeros(1, 2, 3, 48, 48), torch.ones(1, 2, 1, 48, 48)
    with torch.inference_mode():
        assert torch.equal(loaded(clip, masks), network(clip, masks))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_files_load_to_float32(
    network: SttnNetwork, tmp_path: Path, dtype: torch.dtype
) -> None:
    path = tmp_path / "half.safetensors"
    model.save(network, path, dtype=dtype)
    for name, value in model.load(path).state_dict().items():
        assert torch.equal(value, network.state_dict()[name].to(dtype).float())


def test_loading_leaves_the_random_state(saved: Path) -> None:
    before = torch.get_rng_state()
    model.load(saved)
    assert torch.equal(before, torch.get_rng_state())


def test_loaded_network_does_not_hold_the_file(saved: Path, network: SttnNetwork) -> None:
    loaded = model.load(saved)
    saved.write_bytes(bytes(saved.stat().st_size))
    assert torch.equal(loaded.encoder[0].weight, network.encoder[0].weight)  # type: ignore[union-attr,index]


@pytest.mark.parametrize("masked", [True, False])
def test_masked_overrides_the_file(saved: Path, masked: bool) -> None:
    assert model.load(saved, masked=masked).config.masked is masked  # type: ignore[union-attr]


def test_info(saved: Path, network: SttnNetwork) -> None:
    said = model.info(saved)
    assert said.architecture == "sttn"
    assert said.parameters == sum(p.numel() for p in network.parameters())
    assert said.dtypes == ("F32",)
    assert said.size == saved.stat().st_size
    assert said.metadata["steps"] == "7"
    assert said.checksum == model.checksum(saved) == hashlib.sha256(saved.read_bytes()).hexdigest()


def test_released_file(released: Path) -> None:
    loaded = model.load(released)
    assert loaded.config == SttnConfig(masked=False)
    assert model.load(released, masked=True).config == SttnConfig(masked=True)
    with pytest.raises(WeightsError, match="not a safetensors"):
        model.info(released)


def test_released_file_of_the_old_format(released: Path, tmp_path: Path) -> None:
    old = tmp_path / "sttn.pth"
    content = torch.load(released, weights_only=True)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    loaded = model.load(old)
    for name, value in content["netG"].items():
        assert torch.equal(value, loaded.state_dict()[name])


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_torch_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    path, trace = tmp_path / "hostile.pth", tmp_path / "trace"
    torch.save({"netG": Hostile(trace)}, path, _use_new_zipfile_serialization=zipped)
    refuse(path, "may run code", "mkdir", "not opened")
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_hostile_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    path, trace = tmp_path / "hostile.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"netG": Hostile(trace)}, protocol))
    refuse(path)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["ours", "released"])
def test_cut_short(released: Path, saved: Path, tmp_path: Path, share: float, kind: str) -> None:
    whole = (saved if kind == "ours" else released).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole[: max(9, int(len(whole) * share))])
    refuse(path, "damaged")


def test_no_file(tmp_path: Path) -> None:
    refuse(tmp_path / "absent.pth", "neither the name 'default'", "nor a file")
    refuse(tmp_path, "folder")
    (tmp_path / "empty").touch()
    refuse(tmp_path / "empty", "empty")
    refuse("sttn", "released", ".pth")


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"netG": [1]}, {"netG": {"a": 1}}, {"netG": {"a": torch.ones(2).int()}}, {1: 2}],
)
def test_other_content(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pth")
    refuse(tmp_path / "other.pth", "something else")


def test_other_network_names_what_differs(tmp_path: Path, network: SttnNetwork) -> None:
    path = tmp_path / "other.pth"
    torch.save({"netG": Discriminator(2).state_dict()}, path)
    refuse(path, "'encoder.0.weight' is missing", "'conv.0.weight_orig' is unexpected")
    with torch.device("meta"):
        names = SttnNetwork().state_dict()
    torch.save({name: torch.zeros(1) for name in names}, path)
    refuse(path, "'encoder.0.weight' is (1,) instead of (64, 3, 3, 3)")


def test_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    refuse(path, "compressed")


def test_huge_tensor_over_a_small_storage(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    torch.save({"netG": {"encoder.0.weight": torch.zeros(1).expand(10**6, 10**6)}}, path)
    refuse(path, "is missing")


def test_numbers_that_are_not_finite(network: SttnNetwork, tmp_path: Path) -> None:
    with torch.no_grad():
        network.decoder[2].bias[0] = float("nan")  # type: ignore[index,operator]
    model.save(network, tmp_path / "nan.safetensors")
    refuse(tmp_path / "nan.safetensors", "decoder.2.bias", "not finite")


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (None, "which network"),
        ("[1]", "which network"),
        ("{", "which network"),
        ('{"architecture": "other"}', "'other'"),
        ('{"architecture": "sttn", "depth": 3}', "depth"),
        ('{"architecture": "sttn", "channels": "8"}', "channels"),
        ('{"architecture": "sttn", "channels": true}', "channels"),
        ('{"architecture": "sttn", "channels": 0}', "channels"),
        ('{"architecture": "sttn", "channels": 10}', "do not divide"),
        ('{"architecture": "sttn", "blocks": 1000000000}', "blocks"),
        ('{"architecture": "sttn", "scales": []}', "scales"),
        ('{"architecture": "sttn", "scales": [0, 1, 2, 3]}', "scales"),
        ('{"architecture": "sttn", "widths": [64]}', "widths"),
        ('{"architecture": "sttn", "widths": [64, 1.5]}', "widths"),
        ('{"architecture": "sttn", "masked": 1}', "masked"),
        ('{"architecture": "sttn"}', "is missing"),
    ],
)
def test_bad_config(tmp_path: Path, config: str | None, word: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"config": config} if config else None)
    refuse(path, word)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x20" + bytes(7)])
)
def test_any_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(start + tail)
    refuse(path)


def test_failed_save_leaves_the_old_file(
    network: SttnNetwork, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        model.save(network, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_save_into_nowhere(network: SttnNetwork, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it first"):
        model.save(network, tmp_path / "absent" / "x.safetensors")


def test_extra_metadata_cannot_replace_the_config(network: SttnNetwork, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    model.save(network, path, {"config": "{}"})
    assert model.load(path).config == network.config


class TestEmbedded:
    @pytest.fixture
    def embedded(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(weights, "EMBEDDED", saved)
        return saved

    def sidecar(self, path: Path) -> Path:
        return path.with_name(path.name + ".sha256")

    def test_loads(self, embedded: Path) -> None:
        self.sidecar(embedded).write_text(f"{model.checksum(embedded)}  {embedded.name}\n")
        assert isinstance(model.load("default"), SttnNetwork)
        assert model.info("default").architecture == "sttn"

    def test_wrong_checksum(self, embedded: Path) -> None:
        self.sidecar(embedded).write_text("0" * 64)
        refuse("default", "checksum", "reinstall")

    def test_no_checksum(self, embedded: Path) -> None:
        refuse("default", "checksum", "reinstall")

    def test_absent(self, embedded: Path) -> None:
        embedded.unlink()
        refuse("default", "no trained weights")


def test_config_round_trip() -> None:
    config = SttnConfig(channels=12, widths=(3, 5), blocks=1, scales=(1, 2, 4), masked=True)
    metadata = to_metadata(config)
    assert json.loads(metadata["config"])["scales"] == [1, 2, 4]
    assert from_metadata(SttnConfig, metadata) == config


def test_light_network_plugs_in(tmp_path: Path) -> None:
    light = pytest.importorskip("cleanplate.network.light", reason="no light network in this tree")
    network = light.LightNetwork(light.LightConfig()).eval()
    path = tmp_path / "light.safetensors"
    model.save(network, path, dtype=torch.float16)
    loaded = model.load(path)
    assert loaded.config == network.config
    assert not any(t.is_meta for t in [*loaded.parameters(), *loaded.buffers()])
    with pytest.raises(WeightsError, match="leave masked out"):
        model.load(path, masked=True)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights", "weights.zip"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_is_refused_under_any_name(tmp_path: Path, name: str, zipped: bool) -> None:
    path, trace = tmp_path / name, tmp_path / "trace"
    torch.save({"netG": Hostile(trace)}, path, _use_new_zipfile_serialization=zipped)
    # Torch itself sends a file called so to the reader of safetensors.
    words = () if path.suffix == ".safetensors" else ("may run code", "mkdir", "not opened")
    refuse(path, str(path), *words)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        model.info(path)
    assert not trace.exists()


def test_a_zip_in_several_parts_is_refused(tmp_path: Path) -> None:
    """Python's own look at a zip fails on it."""
    path = tmp_path / "parts.pth"
    torch.save({}, path)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 9)
    path.write_bytes(data[:end] + locator + data[end:])
    refuse(path, "damaged")
