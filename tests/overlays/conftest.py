from __future__ import annotations

import numpy as np
import pytest

from cleanplate.overlays import Profile, estimate_overlay

from .drawing import BOX, SIZE, blend, draw_alpha, make_scene


@pytest.fixture(scope="session")
def profile() -> Profile:
    """Learned from two scenes whose background is known up to noise; opacity 0.6."""
    frames = np.concatenate([make_scene(40, 1), make_scene(40, 2)])
    shown = blend(frames, 0.6 * draw_alpha())
    noise = np.random.default_rng(3).normal(0, 4, frames.shape)
    filled = np.clip(frames + noise, 0, 255).astype(np.uint8)
    filled[::9] = 255 - filled[::9]  # fills that went wrong
    part = (slice(None), *BOX.slices)
    known = np.ones(frames.shape[:3], np.bool_)
    return estimate_overlay(shown[part], filled[part], known[part], BOX, SIZE)
