"""The bar that finding text is held to: subtitles burned into ten real clips.

The clips were used for no tuning. None has text of its own put over it; some show signs, keys,
floor letters or a lettered train, which are not to be masked.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from cleanplate.errors import MaskError
from cleanplate.masks.text import find_text

from .subtitles import CJK_FONTS, Style, burn

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "train" / "clips"
NUMBERS = (46, 78, 94, 118, 158, 222, 254, 262, 366, 398)
"""Places in the sorted list of clips."""

CJK = next((font for font in CJK_FONTS if font.exists()), None)
STYLES = (
    Style("We should have left by now"),
    Style("Where did the other one go?", fill=(255, 225, 30), outline=0.006, shadow=0.01),
    Style("Nobody knows the way home", outline=0, bar=1.0),
    Style("- Did you see it too?\n- Yes, over there by the gate.", height=0.07),
    Style("我们明天再来看你吧", font=CJK)
    if CJK
    else Style("Only a soft shadow here", outline=0, shadow=0.012),
    Style("It was never meant to stay here", outline=0, bar=0.5, height=0.07),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not CLIPS.is_dir(), reason=f"needs real clips in {CLIPS}"),
]


def read(number: int) -> tuple[np.ndarray, object]:
    path = sorted(CLIPS.glob("*.mp4"))[number]
    with av.open(str(path)) as file:
        rate = file.streams.video[0].average_rate
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2], rate


def write(path: Path, frames: np.ndarray, rate: object) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "20"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def measure(path: Path, changed: np.ndarray) -> tuple[float, int, int]:
    """Share of the changed pixels that is covered; text-free frames masked, and their number."""
    free = ~changed.any(axis=(1, 2))
    try:
        found = find_text(path)
    except MaskError:
        return (0.0 if changed.any() else 1.0), 0, int(free.sum())
    masks = np.stack([found.mask(index, 0) for index in range(len(changed))])
    covered = (masks & changed).sum() / max(1, changed.sum())
    return float(covered), int(masks[free].any(axis=(1, 2)).sum()), int(free.sum())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float, int, int]]:
    """Two subtitles, one after the other, in each of ten clips."""
    folder, rows = tmp_path_factory.mktemp("burned"), []
    for place, number in enumerate(NUMBERS):
        frames, rate = read(number)
        count = len(frames)
        first, second = STYLES[place % len(STYLES)], STYLES[(place + 3) % len(STYLES)]
        frames, early = burn(frames, first, count // 10, count * 9 // 20)
        frames, late = burn(frames, second, count * 11 // 20, count * 9 // 10)
        path = write(folder / f"{number}.mp4", frames, rate)
        rows.append(measure(path, early | late))
        print(f"{number}: covered {rows[-1][0]:.2%}, wrongly masked {rows[-1][1]}/{rows[-1][2]}")
    return rows


def test_nearly_all_of_a_subtitle_is_covered(measured):
    assert np.mean([covered for covered, _, _ in measured]) >= 0.98
    assert min(covered for covered, _, _ in measured) >= 0.95


def test_frames_without_text_are_left_alone(measured):
    assert sum(wrong for _, wrong, _ in measured) <= 0.01 * sum(free for _, _, free in measured)


def test_clips_without_text_are_left_alone(tmp_path):
    wrong = free = 0
    for number in NUMBERS:
        frames, rate = read(number)
        path = write(tmp_path / f"{number}.mp4", frames, rate)
        _, masked, count = measure(path, np.zeros(frames.shape[:3], bool))
        print(f"{number}: wrongly masked {masked}/{count}")
        wrong, free = wrong + masked, free + count
    assert wrong <= 0.01 * free


def test_a_subtitle_that_stands_all_the_time_is_covered(tmp_path):
    for place, number in enumerate(NUMBERS):
        frames, rate = read(number)
        burned, changed = burn(frames, STYLES[place % len(STYLES)])
        covered = measure(write(tmp_path / f"{number}.mp4", burned, rate), changed)[0]
        print(f"{number}: covered {covered:.2%}")
        assert covered >= 0.95
