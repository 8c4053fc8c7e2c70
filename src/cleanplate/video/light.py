"""What HDR10 video says of its light, from a decoded frame, in the words of x264 and x265."""

from __future__ import annotations

from typing import Any

import numpy as np


def read_mastering(frame: Any) -> str:
    """The mastering display (SMPTE ST 2086) as `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`, or "".

    Places on the chromaticity diagram are in 0.00002, luminances in 0.0001 cd/m².
    """
    data = _find(frame, "MASTERING_DISPLAY_METADATA")
    # FFmpeg's structure: ten fractions (red, green, blue, white, min, max), and which are known.
    if data is None or data.size != 22 or not data[20:].all() or not data[1:20:2].all():
        return ""
    values = data[:20:2].astype(float) / data[1:20:2]
    places = np.rint(values[:8] * 50_000).astype(int).reshape(4, 2)
    red, green, blue, white = (f"({x},{y})" for x, y in places)
    least, most = np.rint(values[8:] * 10_000).astype(int)
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"


def read_content_light(frame: Any) -> str:
    """The brightest pixel and the brightest frame's mean (CTA-861.3), `"1000,400"`, or ""."""
    data = _find(frame, "CONTENT_LIGHT_LEVEL")
    return "" if data is None or data.size != 2 else f"{data[0]},{data[1]}"


def _find(frame: Any, kind: str) -> Any:
    """A frame's side data of a kind as 32-bit numbers, or None."""
    for data in frame.side_data:
        if data.type.name == kind:
            return np.frombuffer(data, np.int32)
    return None
