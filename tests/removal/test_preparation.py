from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cleanplate.errors import CleanplateError
from cleanplate.options import RemoveOptions
from cleanplate.removal.preparation import check_machine


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dilate": -5}, "`dilate` must be a whole number of pixels from 0 to 1000, not -5"),
        ({"feather": 1.5}, "`feather` must be a whole number of pixels from 0 to 1000, not 1.5"),
        ({"crf": 99}, "`crf` must be a whole number from 0 to 51, or None, not 99"),
        ({"crf": 18, "lossless": True}, "give `crf` or `lossless`, not both"),
        ({"threads": 0}, "`threads` must be a whole number from 1 to 1024, or None, not 0"),
        ({"max_memory": "lots"}, "'lots' is no size"),
        ({"max_memory": 0}, "`max_memory` must be a whole number of bytes from 1 to"),
        ({"max_memory": "9" * 400}, "is too large"),
        ({"method": "best"}, "`method` 'best' is unknown; use auto, flow, network"),
        ({"device": "gpu"}, "`device` 'gpu' is unknown; use auto, cpu, cuda, mps"),
        ({"device": "cuda:999"}, "device 'cuda:999' is not available here"),
        ({"device": "cuda:999", "method": "flow"}, "device 'cuda:999' is not available here"),
        ({"model": "absent.pth"}, "no checkpoint 'absent.pth'"),
        ({"model": torch.nn.Linear(2, 2)}, "`model` must be a network whose forward takes"),
    ],
)
def test_options_are_checked_without_a_video(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CleanplateError) as caught:
        check_machine(RemoveOptions(**options))
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_model_that_is_not_asked_need_not_be_there() -> None:
    check_machine(RemoveOptions(method="flow", model="absent.pth"))


def test_values_of_other_libraries_become_plain_ones() -> None:
    settings = RemoveOptions(
        dilate=np.int64(3),
        lossless=np.bool_(True),
        threads=np.uint8(2),
        max_memory=np.int64(10**9),
        model=Path("weights.pth"),
        device=torch.device("cpu", 0),
    )
    plain = (3, True, 2, 10**9, "weights.pth", "cpu")
    names = ("dilate", "lossless", "threads", "max_memory", "model", "device")
    found = tuple(getattr(settings, name) for name in names)
    assert found == plain
    assert [type(value) for value in found] == [type(value) for value in plain]
