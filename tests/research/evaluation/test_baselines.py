import cv2
import numpy as np
import pytest

from cleanplate.research.evaluation.clips import survey
from cleanplate.research.evaluation.methods import FrameByFrame, TemporalMedian, make_plate


@pytest.mark.parametrize(
    ("name", "flag"), [("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)]
)
def test_frame_by_frame_is_opencv_with_a_reach_of_five(name, flag, make_clip_of, frames, masks):
    clip = make_clip_of(frames, masks)
    made = list(FrameByFrame(name).fill(clip, survey(clip)))
    for result, frame, mask in zip(made, frames, masks, strict=True):
        assert (result == cv2.inpaint(frame, mask.astype(np.uint8), 5, flag)).all()


def test_the_median_is_over_what_was_seen(make_clip_of, frames, masks):
    still = np.repeat(frames[:1], 5, axis=0)
    still[4] += 8  # the only frame that shows what is behind the hole
    clip = make_clip_of(still, masks)
    made = np.stack(list(TemporalMedian().fill(clip, survey(clip))))
    assert (made[masks] == np.broadcast_to(still[4], still.shape)[masks]).all()
    assert (made[~masks] == still[~masks]).all()


def test_what_nobody_saw_is_filled_on_the_plate(make_clip_of, frames, masks):
    masks[4] = masks[0]
    still = np.repeat(frames[:1], 5, axis=0)
    hidden = masks[0].astype(np.uint8)
    blanked = np.where(masks[0][..., None], 0, still[0]).astype(np.uint8)
    expected = cv2.inpaint(blanked, hidden, 5, cv2.INPAINT_TELEA)
    assert (make_plate(make_clip_of(still, masks)) == expected).all()
