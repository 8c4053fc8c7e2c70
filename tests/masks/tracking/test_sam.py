"""The real loading code with a tiny model of random weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanplate.errors import InputError, WeightsError
from cleanplate.masks.tracking import load_sam2


class Clip(list[np.ndarray]):
    shape = (48, 64)


@pytest.fixture
def without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """SAM 2 does not need it, and one that does not fit torch breaks the import of transformers."""
    pytest.importorskip("transformers", reason="needs the extra [sam]")
    from transformers import utils
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_torchvision_available", lambda: False)
    monkeypatch.setattr(utils, "is_torchvision_available", lambda: False)


@pytest.fixture
def saved(tmp_path: Path, without_torchvision: None) -> Path:
    import torch
    from transformers import Sam2VideoConfig
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

    torch.manual_seed(0)
    config = Sam2VideoConfig(**tiny())
    Sam2VideoModel(config).save_pretrained(tmp_path / "sam")
    return tmp_path / "sam"


def tiny() -> dict[str, Any]:
    """The smallest sizes that fit together: frames of 128, features of 8 by 8."""
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [128, 128],
        "blocks_per_stage": [1, 1, 1, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [8, 4, 2, 2],
        "global_attention_blocks": [],
        "window_positional_embedding_background_size": [2, 2],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 128,
    }
    decoder = {"hidden_size": 128, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 128, "image_size": 128, "patch_size": 16},
        "mask_decoder_config": {**decoder, "iou_head_hidden_dim": 32, "iou_head_depth": 2},
        "image_size": 128,
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32,
        "memory_attention_rope_feat_sizes": [8, 8],
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 32,
        "num_maskmem": 3,
        "max_object_pointers_in_encoder": 3,
    }


def test_follows_with_bounded_memory(saved: Path) -> None:
    segmenter = load_sam2(saved)
    rng = np.random.default_rng(0)
    clip = Clip(rng.integers(0, 256, (8, 48, 64, 3), dtype=np.uint8))
    box = np.zeros(clip.shape, np.bool_)
    box[10:30, 20:40] = True
    mask = segmenter.segment(clip, 2, box)
    assert mask.any()
    assert not (mask & ~box).any()
    found = list(segmenter.follow(clip, box, range(7, -1, -1)))
    assert [one.index for one in found] == [6, 5, 4, 3, 2, 1, 0]
    for one in found:
        assert one.mask.shape == clip.shape
        assert one.mask.dtype == np.bool_
        assert 0 <= one.confidence <= 1
        assert one.mask.any() == (one.confidence > 0)


def test_empty_mask_stays_empty(saved: Path) -> None:
    clip = Clip(np.zeros((3, 48, 64, 3), np.uint8))
    found = list(load_sam2(saved).follow(clip, np.zeros(clip.shape, np.bool_), range(3)))
    assert [one.mask.any() for one in found] == [False, False]


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_sam2(tmp_path)


def test_damaged_weights(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="no SAM 2 video model"):
        load_sam2(saved)


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    name = "transformers.models.sam2_video.modeling_sam2_video"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"cleanplate\[sam\]"):
        load_sam2(tmp_path)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_weights_that_would_run_code_are_not_opened(saved: Path, tmp_path: Path) -> None:
    import torch

    (saved / "model.safetensors").unlink()
    torch.save({"a": Hostile(tmp_path / "trace")}, saved / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"sam' holds no SAM 2 video model"):
        load_sam2(saved)
    assert not (tmp_path / "trace").exists()
