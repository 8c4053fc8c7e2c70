"""A few pictures out of a video, at little cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import av
import numpy as np
import numpy.typing as npt

from cleanplate.video.colour import Converter
from cleanplate.video.containers import open_source
from cleanplate.video.info import VideoInfo
from cleanplate.video.probe import find_video_stream

_MOST_DECODED = 48
"""Pictures decoded from a key picture towards the moment that is wanted."""


def sample_pictures(info: VideoInfo, most: int) -> Iterator[npt.NDArray[np.uint8]]:
    """At most `most` pictures, uint8 `(h, w, 3)`, near the start, the end and moments between.

    Moments far behind a key picture are stood for by earlier ones. Ends early where a file cannot
    be searched or is damaged; reading in order will say so.
    """
    converter, length = Converter(info), info.duration or info.frame_count / info.rate
    ticks = [(info.start + info.first + length * k / most) / info.time_base for k in range(most)]
    seen: set[int | None] = set()
    with suppress(av.error.FFmpegError), open_source(info.path) as container:
        stream = find_video_stream(container)
        for tick in map(int, ticks):
            container.seek(tick, stream=stream)
            frame = None
            for frame in islice(container.decode(stream), _MOST_DECODED):
                if frame.pts is None or frame.pts >= tick:
                    break
            if frame is not None and frame.pts not in seen:
                seen.add(frame.pts)
                yield converter.to_rgb(frame)
