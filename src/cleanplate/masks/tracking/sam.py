"""SAM 2 (Ravi et al., 2024) as the segmenter: through `transformers`, with weights of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from cleanplate.errors import InputError, WeightsError
from cleanplate.machine import adapt_to_fork
from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.segmenter import Found, Frames
from cleanplate.storage.paths import MOST_TEXT, check_file

_MEAN = (0.485, 0.456, 0.406)
_SPREAD = (0.229, 0.224, 0.225)
_LARGEST = {".json": MOST_TEXT, ".safetensors": 1 << 33}
"""Bytes of a model's files, by suffix."""
_CORNERS = (2, 3)
"""SAM's labels of the two corners of a box."""


def load_sam2(folder: str | Path, device: str = "cpu") -> Sam2Segmenter:
    """The SAM 2 video model saved in `folder` (config.json and model.safetensors).

    Nothing is downloaded. Raises InputError when the extra is missing, WeightsError when the folder
    holds no such model.
    """
    path = Path(folder)
    _check_files(path)
    adapt_to_fork()
    try:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"SAM 2 needs transformers: pip install 'cleanplate[sam]' ({_first_line(error)})"
        ) from None
    try:
        # Weights that are a pickle, and code that a configuration names, are not loaded.
        model = Sam2VideoModel.from_pretrained(
            path, local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
        )
    except Exception as error:  # a hostile configuration can make transformers fail in any way
        raise WeightsError(
            f"'{path}' holds no SAM 2 video model that can be loaded: {_first_line(error)};"
            " save it again in transformers' format"
        ) from None
    return Sam2Segmenter(model.to(device).eval())


def _check_files(folder: Path) -> None:
    """Raise WeightsError unless transformers, which opens what it finds, may open it."""
    try:
        check_file(folder / "config.json")
        for path in folder.iterdir():
            if path.suffix in _LARGEST:
                check_file(path, _LARGEST[path.suffix])
    except FileNotFoundError:
        raise WeightsError(
            f"'{folder}' holds no config.json; give the folder of a model as transformers saves it"
        ) from None
    except OSError as error:
        raise WeightsError(
            f"'{error.filename or folder}' cannot be read: {error.strerror}; save the model again"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


class Sam2Segmenter:
    """Follows an object by the model's memory of the frames before; frames are streamed."""

    looks = 1

    def __init__(self, model: Any) -> None:
        self._model = model
        config = model.config
        self._side = int(config.image_size)
        self._kept = int(max(config.num_maskmem, config.max_object_pointers_in_encoder))

    @torch.inference_mode()
    def segment(self, frames: Frames, index: int, box: Mask) -> Mask:
        """See Segmenter.segment."""
        x, y, width, height = cv2.boundingRect(box.astype(np.uint8))
        scale = torch.tensor([self._side / box.shape[1], self._side / box.shape[0]])
        corners = torch.tensor([[x, y], [x + width, y + height]]) * scale
        session = self._open(frames)
        session.add_point_inputs(
            session.obj_id_to_idx(1),
            0,
            {
                "point_coords": corners[None, None].to(self._model.device),
                "point_labels": torch.tensor([[_CORNERS]], dtype=torch.int32).to(
                    self._model.device
                ),
            },
        )
        session.obj_with_new_inputs = [1]
        mask, _ = self._ask(session, frames, index, 0)
        return mask & box if (mask & box).any() else box

    @torch.inference_mode()
    def follow(self, frames: Frames, mask: Mask, indices: Sequence[int]) -> Iterator[Found]:
        """See Segmenter.follow."""
        if not mask.any():
            yield from (Found(index, mask, 1.0) for index in indices[1:])
            return
        session = self._open(frames)
        side = (self._side, self._side)
        large = cv2.resize(mask.astype(np.uint8), side, interpolation=cv2.INTER_NEAREST)
        session.add_mask_inputs(
            session.obj_id_to_idx(1),
            0,
            torch.from_numpy(large)[None, None].float().to(self._model.device),
        )
        session.obj_with_new_inputs = [1]
        for place, index in enumerate(indices):
            found, confidence = self._ask(session, frames, index, place)
            self._forget(session, place)
            if place:
                yield Found(index, found, confidence)

    def _open(self, frames: Frames) -> Any:
        """An empty session for one object."""
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        device = self._model.device
        return Sam2VideoInferenceSession(
            video_height=frames.shape[0],
            video_width=frames.shape[1],
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=self._model.dtype,
        )

    def _ask(self, session: Any, frames: Frames, index: int, place: int) -> tuple[Mask, float]:
        """The mask on frame `index`, number `place` of the session, and how sure it is there."""
        answer = self._model(session, frame_idx=place, frame=self._prepare(frames[index]))
        logits = F.interpolate(answer.pred_masks.float(), size=frames.shape, mode="bilinear")
        present = float(answer.object_score_logits.float().sigmoid().max())
        mask = np.asarray(logits[0, 0].cpu().numpy() > 0)
        return (mask, present) if present > 0.5 and mask.any() else (np.zeros_like(mask), 0.0)

    def _prepare(self, frame: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
        """`(1, 3, side, side)`, normalised as the model was trained."""
        side = (self._side, self._side)
        small = cv2.resize(frame, side, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        scaled = (small - np.array(_MEAN, np.float32)) / np.array(_SPREAD, np.float32)
        return torch.from_numpy(scaled.transpose(2, 0, 1)[None].copy()).to(self._model.device)

    def _forget(self, session: Any, place: int) -> None:
        """Drop what the model will not look at again, so that memory stays flat."""
        session.processed_frames.pop(place, None)
        for outputs in session.output_dict_per_obj.values():
            outputs["non_cond_frame_outputs"].pop(place - self._kept - 1, None)
        for tracked in session.frames_tracked_per_obj.values():
            tracked.pop(place - self._kept - 1, None)
