from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from cleanplate.errors import InputError
from cleanplate.overlays import Profile, read_profile
from cleanplate.types import Box

NAMES = ("keep", "added", "pivot", "offset_error", "slope_error")


def write(path: Path, profile: Profile, arrays: dict[str, object], **header: object) -> Path:
    """Write a profile file with other arrays or another header."""
    own = {name: getattr(profile, name) for name in NAMES} | arrays
    box = profile.box
    described = {
        "kind": "cleanplate overlay",
        "version": 1,
        "depth": 8,
        "box": [box.x, box.y, box.width, box.height],
        "size": [profile.size.width, profile.size.height],
        **header,
    }
    path.write_bytes(save(own, {"overlay": json.dumps(described)}))
    return path


def test_a_profile_survives_its_file(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "logo.overlay"
    path.write_bytes(profile.to_bytes())
    found = read_profile(path)
    assert (found.box, found.size) == (profile.box, profile.size)
    assert all(np.array_equal(getattr(found, name), getattr(profile, name)) for name in NAMES)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"version": None}, "version None"),
        ({"depth": 10}, "10 bits"),
        ({"kind": "a picture"}, "is no overlay"),
        ({"size": [10, 10]}, "no box of a picture"),
        ({"box": [0, 0, 1e9, 4]}, "no box of a picture"),
        ({"box": "all"}, "no box of a picture"),
        ({"box": [0, 0, 8, 8]}, "not float32"),
    ],
)
def test_another_header_is_refused(
    profile: Profile, tmp_path: Path, header: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "logo.overlay", profile, {}, **header)
    with pytest.raises(InputError, match=message) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)


def test_other_arrays_are_refused(profile: Profile, tmp_path: Path) -> None:
    bad: dict[str, dict[str, object]] = {
        "not float32": {"pivot": profile.pivot.astype(np.float64)},
        "out of range": {"keep": profile.keep + 1},
        "lacks or adds": {"more": profile.pivot},
    }
    bad["out of range "] = {"added": np.full_like(profile.added, np.nan)}
    for message, arrays in bad.items():
        path = write(tmp_path / "logo.overlay", profile, arrays)
        with pytest.raises(InputError, match=message.strip()):
            read_profile(path)


@pytest.mark.parametrize("data", [b"", b"text", b"\xff" * 40, b"\x08" + b"\0" * 7 + b"{}      "])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "logo.overlay"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is no overlay; make one with"):
        read_profile(path)


def test_a_cut_file_is_refused(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "logo.overlay"
    path.write_bytes(profile.to_bytes()[:-100])
    with pytest.raises(InputError, match="is damaged"):
        read_profile(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_profile(tmp_path / "missing.overlay")


def test_a_part_beyond_the_overlay_is_clear(profile: Profile) -> None:
    box = profile.box
    part = profile.cut(Box(box.x - 10, box.y - 5, box.width + 10, box.height))
    assert (part.keep[:, :5] == 1).all()
    assert not part.added[:, :5].any()
    assert np.array_equal(part.keep[:, 5:, 10:], profile.keep[:, : box.height - 5])


def test_the_picture_shows_it_on_three_levels(profile: Profile) -> None:
    picture = profile.draw()
    assert picture.shape == (3 * profile.box.height, profile.box.width, 3)
    assert picture[0, 0].max() < 5
    assert picture[-1, -1].min() > 250
