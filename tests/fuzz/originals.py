"""The whole files that are spoilt: small, of many kinds, made on the spot."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from tests.conftest import Clip, paint, write_clip

from cleanplate import network as model
from cleanplate import removal as pipeline
from cleanplate.network import SttnConfig, SttnNetwork

SIZE = (32, 24)
FRAMES = 4
VIDEOS = {
    "h264.mp4": Clip(audio=("eng",), subtitles=("eng",), options={"bf": "1"}),
    "fragments.mp4": Clip(movflags="frag_keyframe+empty_moov", rotation=90),
    "h264.mkv": Clip(audio=("eng",), subtitles=("eng",), attachment=b"font" * 9),
    "vp8.webm": Clip(codec="libvpx"),
    "vp9.webm": Clip(codec="libvpx-vp9", options={"cpu-used": "8"}),
    "mpeg4.avi": Clip(codec="mpeg4"),
    "mjpeg.avi": Clip(codec="mjpeg", pixel_format="yuvj420p"),
    "mjpeg.mov": Clip(codec="mjpeg", pixel_format="yuvj420p", chapters=((0, 50, "a"),)),
    "ffv1.mkv": Clip(codec="ffv1", pixel_format="yuv420p10le"),
    "mpeg2.ts": Clip(codec="mpeg2video", audio=("eng",), audio_codec="mp2"),
    "av1.mp4": Clip(codec="libsvtav1"),
    "prores.mov": Clip(codec="prores_ks", pixel_format="yuv422p10le"),
    "flv1.flv": Clip(codec="flv1"),
    "wmv2.asf": Clip(codec="wmv2"),
    "mpeg1.mpg": Clip(codec="mpeg1video"),
    "mpeg2.mxf": Clip(codec="mpeg2video"),
    "ffv1.nut": Clip(codec="ffv1"),
    "vp8.ogg": Clip(codec="libvpx"),
    "vp8.ivf": Clip(codec="libvpx"),
    "raw.h264": Clip(),
    "raw.y4m": Clip(codec="wrapped_avframe"),
}
IMAGES = ("grey.png", "colour.png", "alpha.png", "palette.png", "deep.png", "colour.jpg",
          "colour.bmp", "colour.tif", "colour.webp")  # fmt: skip
REMOVAL: dict[str, Any] = {"box": "4,4,8,8", "method": "flow", "dilate": 1, "feather": 1}
"""How the videos are treated, and how the run was that was cut off."""
CHECKPOINTS = ("ours.safetensors", "half.safetensors", "zipped.pth", "plain.pth", "other.pth")


def make_originals(folder: Path) -> None:
    """Write all of them; the same bytes each time."""
    for name, clip in VIDEOS.items():
        clip.size, clip.frames = SIZE, FRAMES
        write_clip(folder / name, clip)
    write_clip(folder / "bare.mp4", Clip(size=SIZE, frames=FRAMES))
    write_clip(folder / "long.mp4", Clip(size=SIZE, frames=14, audio=("eng",)))
    write_clip(folder / "mask.mkv", Clip("ffv1", "gray", SIZE, frames=FRAMES))
    _write_images(folder)
    _write_checkpoints(folder)
    _write_journal(folder)


def _write_images(folder: Path) -> None:
    colour = paint(0, SIZE)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[6:14, 8:20] = 255
    pictures = {
        "grey.png": mask,
        "alpha.png": np.dstack([colour, mask]),
        "deep.png": mask.astype(np.uint16) * 257,
    }
    for name in IMAGES:
        if name != "palette.png":
            assert cv2.imwrite(str(folder / name), pictures.get(name, colour))
    _write_palette(folder / "palette.png", mask // 255)


def _write_palette(path: Path, labels: np.ndarray) -> None:
    from PIL import Image

    image = Image.fromarray(labels, "P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(path)


def _write_checkpoints(folder: Path) -> None:
    config = SttnConfig(channels=4, widths=(2, 2), blocks=1, scales=(1, 2))
    with _seeded():
        network = SttnNetwork(config)
        model.save(network, folder / "ours.safetensors")
        model.save(network, folder / "half.safetensors", dtype=torch.float16)
        save_file({"a": torch.zeros(3, 4)}, folder / "other.safetensors", {"a": "b"})
        weights = {"netG": network.state_dict()}
        torch.save(weights, folder / "zipped.pth")
        torch.save(weights, folder / "plain.pth", _use_new_zipfile_serialization=False)
        torch.save([1, {"a": torch.zeros(2).int()}], folder / "other.pth")


def _write_journal(folder: Path) -> None:
    """What a run that was cut off leaves beside its output: all frames filled, none encoded."""

    class Stop(Exception):
        pass

    def stop(done: int, total: int | None) -> None:
        raise Stop

    with suppress(Stop):
        pipeline.remove(folder / "h264.mp4", folder / "cut.mp4", progress=stop, **REMOVAL)
    (folder / ".cut.mp4.cleanplate").rename(folder / "cut")


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(0)
        yield
