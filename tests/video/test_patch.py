"""Layers with alpha: FFmpeg lays them over the source and gets the product's own result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cleanplate import remove
from cleanplate.errors import OutputError
from cleanplate.video import probe
from cleanplate.video.patch import PatchWriter, build_layer, find_alpha

SIZE = (96, 64)
EXTRA_SAMPLES = 338
HOLE = {"box": "30,20,24,16", "dilate": 3}


@pytest.fixture
def shot(tmp_path, pan) -> Path:
    """A folder of a camera that moves over a texture."""
    folder = tmp_path / "shot"
    folder.mkdir()
    for index, frame in enumerate(pan(6, SIZE, (4, 1))):
        assert cv2.imwrite(str(folder / f"shot_{index + 101:04d}.png"), frame[..., ::-1])
    return folder


def lay_over(source: np.ndarray, layer: av.VideoFrame) -> np.ndarray:
    """What FFmpeg's filter `overlay` makes of RGB and a layer, uint8 (h, w, 3)."""
    below = av.VideoFrame.from_ndarray(np.ascontiguousarray(source), "rgb24")
    graph, base = av.filter.Graph(), Fraction(1, 25)
    inputs = [
        graph.add_buffer(width=f.width, height=f.height, format=f.format.name, time_base=base)
        for f in (below, layer)
    ]
    overlay, sink = graph.add("overlay", "format=gbrp"), graph.add("buffersink")
    for index, one in enumerate(inputs):
        one.link_to(overlay, 0, index)
    overlay.link_to(sink)
    graph.configure()
    for one, frame in zip(inputs, (below, layer), strict=True):
        frame.pts, frame.time_base = 0, base
        one.push(frame)
        one.push(None)
    return graph.pull().to_ndarray(format="rgb24")


def read_rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]


def read_layer(path: Path) -> np.ndarray:
    if path.suffix == ".tif":  # OpenCV multiplies by the alpha
        with Image.open(path) as opened:
            assert opened.tag_v2[EXTRA_SAMPLES] == (2,)  # straight alpha
            return np.array(opened)
    layer = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(layer[..., [2, 1, 0, 3]])


@pytest.mark.parametrize("feather", [0, 4, 9])
@pytest.mark.parametrize(("codec", "suffix"), [("auto", ".png"), ("tiff", ".tif")])
def test_a_layer_over_the_source_is_the_result(shot, tmp_path, feather, codec, suffix):
    result, patch = tmp_path / "result", tmp_path / "patch"
    remove(shot, result, patch=patch, feather=feather, codec=codec, **HOLE)
    names = sorted(path.stem for path in shot.iterdir())
    assert sorted(path.name for path in patch.iterdir()) == [f"{name}{suffix}" for name in names]
    soft = 0
    for name in names:
        source, layer = read_rgb(shot / f"{name}.png"), read_layer(patch / f"{name}{suffix}")
        made = lay_over(source, av.VideoFrame.from_ndarray(layer, "rgba"))
        np.testing.assert_array_equal(made, read_rgb(result / f"{name}{suffix}"))
        assert not layer[:6].any()  # nothing but what was made
        assert (layer[26:30, 38:46, 3] == 255).all()
        soft += np.count_nonzero((layer[..., 3] > 0) & (layer[..., 3] < 255))
    assert (soft > 0) == (feather > 0)


def test_prores_4444_over_the_source_is_nearly_the_result(shot, tmp_path):
    remove(shot, tmp_path / "result", patch=tmp_path / "patch.mov", **HOLE)
    with av.open(str(tmp_path / "patch.mov")) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("prores", 24)
        frames = list(file.decode(stream))
    assert [frame.format.name for frame in frames] == ["yuva444p12le"] * 6
    worst = []
    for frame, path in zip(frames, sorted(shot.iterdir()), strict=True):
        source, result = read_rgb(path), read_rgb(tmp_path / "result" / path.name)
        rgba = frame.reformat(format="rgba", src_colorspace=1, src_color_range=1)
        made = lay_over(source, rgba).astype(int)
        touched = (source != result).any(axis=2)
        worst.append(np.abs(made - result)[touched].mean())
        beside = cv2.dilate(touched.astype(np.uint8), np.ones((9, 9))) == 0
        np.testing.assert_array_equal(made[beside], source[beside])
    assert max(worst) < 4


def test_a_layer_of_16_bits(tmp_path, painted):
    folder = tmp_path / "deep"
    folder.mkdir()
    for index in range(3):
        pixels = painted(index, SIZE).astype(np.uint16) * 257
        assert cv2.imwrite(str(folder / f"{index}.png"), pixels)
    remove(folder, tmp_path / "result", patch=tmp_path / "patch", **HOLE)
    for name in ("0.png", "2.png"):
        source, layer = read_rgb(folder / name), read_layer(tmp_path / "patch" / name)
        assert layer.dtype == np.uint16
        alpha = layer[..., 3:].astype(np.int64)
        made = source * (65535 - alpha) + layer[..., :3].astype(np.int64) * alpha
        np.testing.assert_array_equal(np.rint(made / 65535), read_rgb(tmp_path / "result" / name))


@settings(max_examples=60)
@given(st.integers(0, 12), st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]))
def test_any_result_comes_out_exactly(feather, seed, dtype):
    random = np.random.default_rng(seed)
    full = np.iinfo(dtype).max
    source, result = random.integers(0, full, (2, 24, 31, 3), dtype, endpoint=True)
    touched = np.zeros((24, 31), np.bool_)
    x, y, w, h = random.integers(0, 16, 4)
    touched[y : y + h, x : x + w] = True
    layer = build_layer(source, result, touched, feather).astype(np.int64)
    made = np.rint((source * (full - layer[..., 3:]) + layer[..., :3] * layer[..., 3:]) / full)
    np.testing.assert_array_equal(made[touched], result[touched])
    assert not layer[~touched].any()


def test_alpha_rises_no_more_than_needed():
    """Half of white over black is possible at alpha 0.5, but not at the rim's lower one."""
    source, result = np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 128, np.uint8)
    touched = np.ones((9, 9), np.bool_)
    touched[0] = False
    layer = build_layer(source, result, touched, 6)
    assert layer[1, 4].tolist() == [255, 255, 255, 128]
    assert layer[7, 4].tolist() == [128, 128, 128, 255]


def test_alpha_rises_from_the_rim_over_the_feather():
    touched = np.zeros((30, 40), np.bool_)
    touched[5:25, 5:35] = True
    alpha = find_alpha(touched, 4)
    assert (alpha > 0).tolist() == touched.tolist()
    column = alpha[5:25, 20]
    assert (np.diff(column[:6]) >= 0).all()
    assert column[0] == pytest.approx(3 / 25 - 2 / 125)
    assert (column[4:-4] == 1).all()
    assert not find_alpha(touched & False, 4).any()


def test_a_patch_follows_rotation_and_times(make_clip, tmp_path):
    source = make_clip("a.mov", rotation=90, pts=[0, 1, 5, 6], frames=4)
    remove(source, tmp_path / "out.mov", patch=tmp_path / "patch.mov", box="10,10,9,6")
    info = probe(source)
    with av.open(str(tmp_path / "patch.mov")) as file:
        frames = list(file.decode(video=0))
    assert {(frame.width, frame.height) for frame in frames} == {
        (info.display_size.width, info.display_size.height)
    }
    assert [float(frame.time) for frame in frames] == [0, 0.04, 0.2, 0.24]


def test_what_holds_no_alpha_is_refused(shot, tmp_path):
    for name in ("patch.mp4", "patch.png"):
        with pytest.raises(OutputError, match=r"cannot hold alpha here; use \.mov for ProRes 4444"):
            remove(shot, tmp_path / "result", patch=tmp_path / name, **HOLE)
    with pytest.raises(OutputError):
        remove(shot, tmp_path / "result", patch=tmp_path / "result", **HOLE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shot"]


def test_an_abandoned_patch_leaves_nothing(shot, tmp_path):
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remove(shot, tmp_path / "out", patch=tmp_path / "p.mov", progress=stop, **HOLE)
    assert not [path for path in tmp_path.iterdir() if "p.mov" in path.name]
    with (
        pytest.raises(ValueError, match="stop"),
        PatchWriter(tmp_path / "q.mov", probe(shot), feather=0, overwrite=False),
    ):
        raise ValueError("stop")
    assert not (tmp_path / "q.mov").exists()
