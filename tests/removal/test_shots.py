from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cleanplate
from cleanplate.errors import EncodeError
from cleanplate.removal.shots import ShotDetector


def cuts(frames: np.ndarray) -> list[int]:
    detector = ShotDetector()
    return [index for index, frame in enumerate(frames) if detector.begins_shot(frame)]


def scene(pan, seed: int, **how) -> np.ndarray:
    """A clip whose large shapes differ by seed, as those of real shots do."""
    rng = np.random.default_rng(seed)
    frames = pan(seed=seed, **how).astype(np.float32)
    tint = rng.uniform(0.1, 1.0, 3)
    ramp = np.linspace(*rng.uniform(0.1, 1.0, 2), frames.shape[2])[None, None, :, None]
    return (frames * tint * ramp).astype(np.uint8)


def test_a_cut_is_found(pan) -> None:
    frames = np.concatenate([scene(pan, 1, frames=9), scene(pan, 2, frames=7)])
    dark = frames // 6
    assert cuts(np.concatenate([frames, dark[:5]]))[:1] == [9] or cuts(frames) == [9]
    assert cuts(frames) == [9]


def test_a_fast_pan_is_no_cut(pan) -> None:
    assert cuts(pan(frames=20, size=(320, 180), step=(25, 4))) == []


def test_a_pan_that_begins_suddenly_is_no_cut(pan) -> None:
    still = pan(frames=1, size=(320, 180), step=(20, 0))
    moving = pan(frames=10, size=(320, 180), step=(20, 0))
    assert cuts(np.concatenate([np.repeat(still, 8, axis=0), moving])) == []


def test_stillness_and_noise_are_no_cut(pan) -> None:
    still = np.repeat(pan(frames=1), 12, axis=0).astype(np.int16)
    noise = np.random.default_rng(0).integers(-12, 13, still.shape)
    assert cuts((still + noise).clip(0, 255).astype(np.uint8)) == []


def test_a_slow_fade_is_no_cut(pan) -> None:
    frame = pan(frames=1)[0].astype(np.float32)
    fade = np.stack([frame * (1 - t / 20) for t in range(20)]).astype(np.uint8)
    assert cuts(fade) == []


def test_every_cut_of_several(pan) -> None:
    shots = [scene(pan, seed, frames=8) for seed in (1, 2, 1, 2)]
    assert cuts(np.concatenate(shots)) == [8, 16, 24]


def test_the_smallest_frames() -> None:
    frames = np.zeros((4, 1, 1, 3), np.uint8)
    frames[2:] = 255
    assert cuts(frames) == [2]


def test_flicker_and_a_flash_are_no_cut(pan) -> None:
    frames = pan(frames=20, step=(1, 0)).astype(np.float32) * 0.6
    gains = 1 + np.random.default_rng(2).uniform(-0.25, 0.25, (20, 1, 1, 1))
    assert cuts((frames * gains).astype(np.uint8)) == []
    frames[9:11] *= 1.6
    assert cuts(frames.astype(np.uint8)) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_named_where_masks_are_kept(make_clip, tmp_path, monkeypatch) -> None:
    def open_full(dir: Path, buffering: int = -1) -> object:
        return open("/dev/full", "r+b", buffering=buffering)

    monkeypatch.setattr("tempfile.TemporaryFile", open_full)
    source = make_clip(frames=6)
    with pytest.raises(EncodeError, match="free some disk space"):
        cleanplate.remove(source, tmp_path / "out.mp4", box="20,10,8,6", method="flow", threads=1)
    assert not (tmp_path / "out.mp4").exists()
