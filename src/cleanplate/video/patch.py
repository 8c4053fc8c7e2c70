"""Write only what was made, with straight alpha: a layer that gives the result over the source.

Over a source `s`, a layer of colour `c` and alpha `a` shows `s (1 - a) + c a`. Alpha follows the
feather of the fill, and colours are solved for the result, so that rounding is the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, OccupiedError, OutputError
from cleanplate.video.codecs import IMAGE_CODECS
from cleanplate.video.colour import Converter, samples
from cleanplate.video.compositing import Compositor, WriteTask
from cleanplate.video.destination import Destination
from cleanplate.video.encoding import Encoding, reason
from cleanplate.video.images import write_image
from cleanplate.video.info import Picture, VideoInfo, describe_upright, find_format, turn_upright
from cleanplate.video.picture_files import PictureFolder
from cleanplate.video.video_file import VideoFile

Mask = npt.NDArray[np.bool_]

_BLOCK = 16
"""Pixels around the fill that hold the source's colours in ProRes, whose blocks mix neighbours."""
_ENCODING = Encoding(
    "prores_ks",
    "yuva444p10le",
    MappingProxyType({"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}),
)


def find_alpha(touched: Mask, feather: int) -> npt.NDArray[np.float64]:
    """Compute the alpha (h, w) of a fill that fades over `feather` pixels inside its rim."""
    if not touched.any():
        return np.zeros(touched.shape)
    inside = cv2.distanceTransform(touched.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip(np.asarray(inside, np.float64) / (feather + 1), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def build_layer(
    source: npt.NDArray[Any], result: npt.NDArray[Any], touched: Mask, feather: int
) -> npt.NDArray[Any]:
    """Compute the RGBA layer (h, w, 4) that turns `source` into `result` where `touched`.

    Alpha is higher where a colour would be out of range otherwise.
    """
    full = int(np.iinfo(result.dtype).max)
    layer = np.zeros((*touched.shape, 4), result.dtype)
    wanted, below = result[touched].astype(np.int64), source[touched].astype(np.int64)
    darker = (below - wanted) / np.maximum(below, 1)
    lighter = (wanted - below) / np.maximum(full - below, 1)
    share = find_alpha(touched, feather)[touched][:, None]
    least = np.maximum(darker, lighter).max(axis=1, keepdims=True)
    alpha = np.ceil(np.maximum(share, least) * full).clip(1, full).astype(np.int64)
    colours = np.rint((wanted * full - below * (full - alpha)) / alpha)
    layer[touched, :3] = colours.clip(0, full)
    layer[touched, 3:] = alpha
    return layer


class PatchWriter:
    """Context manager that writes one layer per picture, upright, in order.

    A normal exit moves them into place; an exception leaves nothing. Raises EncodeError if the disk
    is full.

    Args:
        path: a `.mov`, or without suffix a folder.
        info: the source.
        feather: pixels over which the fill fades into the source.
        codec: "tiff" writes a folder of TIFFs, all else PNGs.
        overwrite: replace what is there.
    """

    def __init__(
        self, path: Path, info: VideoInfo, *, feather: int, codec: str = "auto", overwrite: bool
    ) -> None:
        check_patch(path)
        self._info, self._feather = info, feather
        self._compositor = Compositor(info, info)
        self._destination = Destination(path, info.path, overwrite=overwrite)
        self._destination.claim()
        partial = self._destination.partial
        try:
            if self._destination.is_folder:
                suffix = IMAGE_CODECS.get(codec, ".png")
                self._sink: VideoFile | LayerFolder = LayerFolder(partial, info, suffix)
            else:
                self._sink = _open_video(partial, info)
        except BaseException:
            self._destination.discard()
            raise

    def write(self, picture: Picture, rgb: npt.NDArray[np.uint8], touched: Mask) -> None:
        """Write the layer of a finished picture; arguments as of `Writer.write`."""
        nothing = WriteTask(picture, rgb, np.zeros_like(touched))
        source = self._compositor.to_image(nothing)
        result = self._compositor.to_image(WriteTask(picture, rgb, touched))
        layer = build_layer(source, result, touched, self._feather)
        if not self._destination.is_folder:
            near = cv2.dilate(touched.astype(np.uint8), np.ones((2 * _BLOCK + 1,) * 2, np.uint8))
            around = near.astype(np.bool_) & ~touched
            layer[around, :3] = source[around]
        try:
            self._sink.write(WriteTask(picture, turn_upright(layer, self._info), touched))
        except (av.error.FFmpegError, OSError) as error:
            raise self._explain(error) from None

    def finish(self) -> None:
        """See `Writer.finish`."""
        try:
            self._sink.finish()
        except (av.error.FFmpegError, OSError) as error:
            raise self._explain(error) from None
        self._destination.seal()

    def _explain(self, error: BaseException) -> EncodeError:
        return EncodeError(
            f"'{self._destination.path}' could not be written: {reason(error)}; free some space or"
            " choose another place"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, OccupiedError):
            self._sink.discard()
        self._destination.settle(error)


def check_patch(path: Path | None) -> None:
    """Raise OutputError if layers cannot be written to `path`."""
    if path is not None and path.suffix.lower() not in ("", ".mov"):
        raise OutputError(
            f"`patch` '{path}' cannot hold alpha here; use .mov for ProRes 4444, or no suffix for a"
            " folder of images"
        )


class LayerFolder(PictureFolder):
    """Folder of RGBA images, named as `PictureFolder` names them."""

    def write(self, work: WriteTask) -> None:
        """Write the next layer, which is in `work.rgb`."""
        write_image(self.name(work.picture), work.rgb)


class _LayerFrames:
    """Makes frames of ProRes 4444 from layers."""

    def __init__(self, result: VideoInfo) -> None:
        self._converter = Converter(result)
        self._layout = find_format("yuv444p10le")

    def to_frame(self, work: WriteTask) -> Any:
        """Convert the RGBA in `work.rgb`."""
        layer = work.rgb
        colours = self._converter.from_rgb(layer[..., :3])
        frame = av.VideoFrame(colours.width, colours.height, "yuva444p10le")
        planes = [np.frombuffer(plane, np.uint16) for plane in frame.planes]
        width = frame.width
        views = [
            plane.reshape(-1, line.line_size // 2)[: frame.height, :width]
            for plane, line in zip(planes, frame.planes, strict=True)
        ]
        for view, own in zip(views, samples(colours, self._layout), strict=False):
            view[...] = own[..., 0]
        full = np.iinfo(layer.dtype).max
        views[3][...] = np.rint(layer[..., 3] * (1023 / full))
        return frame


def _open_video(path: Path, info: VideoInfo) -> VideoFile:
    """Open a ProRes 4444 of upright pictures with the source's times and colours."""
    upright = describe_upright(info)
    result = replace(upright, pixel_format="yuv444p10le", color_range=1)
    if info.format.family != "yuv":
        result = replace(result, color_matrix=1, color_primaries=1, color_transfer=1)
    return VideoFile(
        path, upright, result, _ENCODING, ".mov", 0, audio=False, frames=_LayerFrames(result)
    )
