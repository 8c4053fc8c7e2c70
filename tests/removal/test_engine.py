from __future__ import annotations

import weakref
from collections.abc import Iterable

import numpy as np
import pytest

from cleanplate.errors import InputError, MaskError
from cleanplate.network import SttnNetwork
from cleanplate.options import Method
from cleanplate.removal import Engine, Finished, Span, inpaint
from cleanplate.removal import filling as filling_module
from cleanplate.removal.shots import ArrayMemories
from cleanplate.removal.windows import WindowFiller
from cleanplate.types import Size

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = Size(96, 64)


def run(engine: Engine, frames: Iterable[np.ndarray], masks: Iterable[np.ndarray]):
    done: list[Finished] = []
    for frame, mask in zip(frames, masks, strict=True):
        done += engine.push(frame, mask)
    return done + engine.finish()


def make_engine(method: Method, network: SttnNetwork, **options: int) -> Engine:
    filler = None if method == "flow" else WindowFiller(network)
    return Engine(SIZE, filler=filler, method=method, **options)


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    error = (made.astype(np.float64) - truth).ravel()
    return float(10 * np.log10(255**2 / max((error**2).mean(), 1e-9)))


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 25])
def test_one_frame_comes_back_for_each_in_order(count: int) -> None:
    frames = [np.full((16, 24, 3), value, np.uint8) for value in range(count)]
    masks = [np.zeros((16, 24), np.bool_) for _ in range(count)]
    for mask in masks[3:]:
        mask[:2, :2] = True
    done = run(Engine(Size(24, 16), method="flow", span=Span(6, 3)), frames, masks)
    assert [int(one.frame[-1, -1, 0]) for one in done] == list(range(count))


def test_frames_without_a_hole_are_the_same_pixels(pan, still_mask) -> None:
    frames = pan(frames=12)
    masks = still_mask(frames)
    masks[[0, 1, 5, 11]] = False
    done = run(Engine(SIZE, method="flow", dilate=2, feather=3), frames, masks)
    for index in (0, 1, 5, 11):
        np.testing.assert_array_equal(done[index].frame, frames[index])
        assert not done[index].touched.any()


@pytest.mark.parametrize("method", ["flow", "auto", "network"])
@pytest.mark.parametrize(("dilate", "feather"), [(0, 0), (2, 0), (0, 5), (3, 4)])
def test_untouched_pixels_are_the_sources(
    pan, still_mask, tiny, method, dilate: int, feather: int
) -> None:
    frames = pan(frames=8)
    masks = still_mask(frames)
    engine = make_engine(method, tiny, dilate=dilate, feather=feather)
    done = run(engine, frames, masks)
    y, x = np.mgrid[0:64, 0:96]
    far_y = np.maximum(np.maximum(24 - y, y - 39), 0)
    far_x = np.maximum(np.maximum(40 - x, x - 55), 0)
    distance = np.hypot(far_y, far_x)
    for one, frame, mask in zip(done, frames, masks, strict=True):
        assert one.touched[distance <= max(dilate + feather - 1, 0)].all()
        assert not one.touched[distance > dilate + feather].any()
        np.testing.assert_array_equal(one.frame[~one.touched], frame[~one.touched])
        assert (one.frame[mask] != frame[mask]).any()


def test_the_source_is_not_changed(pan, still_mask) -> None:
    frames = pan(frames=8)
    masks = still_mask(frames)
    before = frames.copy(), masks.copy()
    run(Engine(SIZE, method="flow", dilate=2, feather=2), frames, masks)
    np.testing.assert_array_equal(frames, before[0])
    np.testing.assert_array_equal(masks, before[1])


@pytest.mark.parametrize(
    "method",
    [
        "flow",
        "network",
    ],
)
@pytest.mark.parametrize("step", [(3, 0), (2.5, 1.25)])
def test_the_fill_does_not_depend_on_what_the_hole_shows(
    pan, still_mask, tiny, method, step
) -> None:
    frames = pan(frames=10, step=step)
    masks = still_mask(frames)
    painted = frames.copy()
    painted[masks] = (255, 0, 255)
    one, other = (
        np.stack([done.frame for done in run(make_engine(method, tiny), clip, masks)])
        for clip in (frames, painted)
    )
    np.testing.assert_array_equal(one, other)


def test_pushing_is_the_same_as_inpaint(pan, still_mask) -> None:
    frames = pan(frames=14)
    masks = still_mask(frames)
    memories = ArrayMemories(frames, masks, split_shots=True)
    engine = Engine(SIZE, method="flow", memories=memories)
    pushed = [done.frame for done in run(engine, frames, masks)]
    np.testing.assert_array_equal(np.stack(pushed), inpaint(frames, masks, method="flow"))


def test_memories_of_other_frames_are_not_asked(pan, still_mask) -> None:
    frames = pan(frames=8)
    masks = still_mask(frames)
    engine = Engine(
        SIZE, method="flow", memories=ArrayMemories(frames[:3], masks[:3], split_shots=True)
    )
    assert len(list(run(engine, frames, masks))) == 8


def test_a_long_clip_in_short_spans_is_still_good(pan, still_mask) -> None:
    frames = pan(frames=40, step=(2.5, 0))
    masks = still_mask(frames)
    hidden = frames.copy()
    hidden[masks] = 0
    done = run(Engine(SIZE, method="flow", span=Span(8, 8)), hidden, masks)
    made = np.stack([one.frame for one in done])
    assert psnr(made[masks], frames[masks]) > 28


def test_memory_does_not_grow_with_the_length() -> None:
    size, span = Size(16, 12), Span(8, 3)
    engine = Engine(size, method="flow", span=span, copy=False)  # so that those held are counted
    alive: weakref.WeakSet[object] = weakref.WeakSet()

    class Frame(np.ndarray):
        """An array that can be counted."""

        __hash__ = object.__hash__  # type: ignore[assignment]

    clear = np.zeros(size.shape, np.bool_)
    hole = clear.copy()
    hole[3:6, 4:8] = True
    back, most_held, most_alive = 0, 0, 0
    for pushed in range(1, 401):
        frame = np.full((*size.shape, 3), pushed % 200, np.uint8).view(Frame)
        alive.add(frame)
        back += len(engine.push(frame, hole if pushed % 60 < 12 else clear))
        del frame
        most_held, most_alive = max(most_held, pushed - back), max(most_alive, len(alive))
    assert most_held <= span.own + span.around
    assert most_alive <= span.own + 2 * span.around
    assert back + len(engine.finish()) == 400


def test_frames_are_given_back_while_pushing() -> None:
    size, span = Size(16, 12), Span(8, 3)
    engine = Engine(size, method="flow", span=span)
    frame, mask = np.zeros((12, 16, 3), np.uint8), np.zeros((12, 16), np.bool_)
    counts = [len(engine.push(frame, mask)) for _ in range(27)]
    assert counts == [8 if index in (10, 18, 26) else 0 for index in range(27)]


def cut_clip() -> tuple[np.ndarray, np.ndarray]:
    """Dark, then bright; the hole moves, so that each shot knows itself."""
    frames = np.concatenate(
        [np.full((10, 64, 96, 3), 40, np.uint8), np.full((10, 64, 96, 3), 220, np.uint8)]
    )
    masks = np.zeros(frames.shape[:3], np.bool_)
    for t in range(20):
        masks[t, 20:40, 10 + 3 * t : 30 + 3 * t] = True
    return frames, masks


def test_nothing_is_carried_across_a_cut() -> None:
    frames, masks = cut_clip()
    done = run(Engine(SIZE, method="flow"), frames, masks)
    for one, truth in zip(done, frames, strict=True):
        assert np.abs(one.frame.astype(int) - truth).max() <= 4


def test_a_cut_gives_back_the_shot_before_it() -> None:
    frames, masks = cut_clip()
    engine = Engine(SIZE, method="flow")
    counts = [len(engine.push(frame, mask)) for frame, mask in zip(frames, masks, strict=True)]
    assert counts == [10 if index == 10 else 0 for index in range(20)]
    whole = Engine(SIZE, method="flow", split_shots=False)
    assert not any(whole.push(frame, mask) for frame, mask in zip(frames, masks, strict=True))


def test_the_network_fills_only_what_no_frame_saw(pan, still_mask, painter) -> None:
    frames = pan(frames=14, step=(4, 0))
    masks = still_mask(frames)
    hidden = frames.copy()
    hidden[masks] = 0
    engine = Engine(SIZE, filler=WindowFiller(painter), method="auto")
    seen = np.stack([one.frame for one in run(engine, hidden, masks)])
    assert psnr(seen[masks], frames[masks]) > 28
    still = np.repeat(frames[:1], 6, axis=0)
    engine = Engine(SIZE, filler=WindowFiller(painter), method="auto")
    made = np.stack([one.frame for one in run(engine, still, masks[:6])])
    np.testing.assert_allclose(made[masks[:6]].astype(float), 127.5, atol=1)


def test_sttn_leaves_everything_to_the_network(pan, still_mask, painter) -> None:
    frames = pan(frames=6, step=(4, 0))
    masks = still_mask(frames)
    done = run(Engine(SIZE, filler=WindowFiller(painter), method="network"), frames, masks)
    made = np.stack([one.frame for one in done])
    np.testing.assert_allclose(made[masks].astype(float), 127.5, atol=1)


def test_a_large_frame_is_filled_at_full_resolution(pan) -> None:
    size = Size(900, 620)
    frames = pan(frames=6, size=(900, 620), step=(20, 0))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 300:330, 400:430] = True
    hidden = frames.copy()
    hidden[masks] = 0
    done = run(Engine(size, method="flow"), hidden, masks)
    made = np.stack([one.frame for one in done])
    assert psnr(made[masks], frames[masks]) > 25


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (13, 40)])
def test_the_smallest_frames(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, *size, 3)).astype(np.uint8)
    masks = np.zeros((4, *size), np.bool_)
    masks[1:, 0, 0] = True
    done = run(Engine(Size(*size[::-1]), method="flow", feather=2), frames, masks)
    assert len(done) == 4


def test_frames_that_are_all_hole_are_filled_from_others(pan) -> None:
    frames = pan(frames=8, step=(0, 0))
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[3] = True
    hidden = frames.copy()
    hidden[masks] = 0
    done = run(Engine(SIZE, method="flow", split_shots=False), hidden, masks)
    inner = np.s_[2:-2, 2:-2]
    assert psnr(done[3].frame[inner], frames[3][inner]) > 30


def test_a_clip_without_a_known_pixel_is_refused_at_its_end(pan) -> None:
    frames = pan(frames=4)
    frames[2:] = 255 - frames[2:]  # a cut: what the first shot gives back comes before the end
    masks = np.ones(frames.shape[:3], np.bool_)
    engine = Engine(SIZE, method="flow")
    for frame, mask in zip(frames, masks, strict=True):
        engine.push(frame, mask)
    with pytest.raises(MaskError, match="covers every pixel of every frame"):
        engine.finish()
    assert engine.finish() == []
    masks[:, :32] = False
    done = run(engine, frames, masks)
    np.testing.assert_array_equal([one.frame[:32] for one in done], frames[:, :32])


def test_a_shot_without_a_known_pixel_is_no_error_among_others(pan) -> None:
    frames = pan(frames=4)
    frames[2:] = 255 - frames[2:]
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[2:] = True
    done = run(Engine(SIZE, method="flow"), frames, masks)
    np.testing.assert_array_equal([one.frame for one in done[:2]], frames[:2])
    assert all(one.touched.all() for one in done[2:])


def test_a_wrong_frame_or_mask_is_refused() -> None:
    engine = Engine(SIZE, method="flow")
    frame, mask = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.bool_)
    with pytest.raises(InputError, match=r"`frame` must be uint8 RGB .* uint8 \(64, 95, 3\)"):
        engine.push(frame[:, 1:], mask)
    with pytest.raises(InputError, match="not an array of float32"):
        engine.push(frame.astype(np.float32), mask)  # type: ignore[arg-type]
    with pytest.raises(MaskError, match=r"`mask` must be bool \(64, 96\), not .* \(63, 96\)"):
        engine.push(frame, mask[1:])
    with pytest.raises(MaskError, match="an array of int64"):
        engine.push(frame, mask.astype(np.int64))  # type: ignore[arg-type]


def test_sttn_without_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="needs a network"):
        Engine(SIZE, method="network")


@pytest.mark.parametrize("size", [Size(16, 16), Size(432, 240), Size(1920, 1080), Size(3840, 2160)])
def test_spans_fit_in_memory(size: Size) -> None:
    span = Span.for_size(size)
    assert span.own >= 4
    assert span.around >= 2
    assert (span.own + 2 * span.around) * size.width * size.height < 150_000_000


def test_without_enough_memory_fewer_frames_are_filled_at_a_time(pan, monkeypatch) -> None:
    frames = pan(frames=12)
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 20:40, 30:50] = True
    usual = [done.frame for done in run(Engine(SIZE, method="flow"), frames, masks)]
    propagate = filling_module.propagate
    asked: list[int] = []

    def hungry(*args: object, wanted: range, **options: object) -> object:
        asked.append(len(wanted))
        if len(wanted) > 4:
            raise MemoryError
        return propagate(*args, wanted=wanted, **options)

    monkeypatch.setattr(filling_module, "propagate", hungry)
    engine = Engine(SIZE, method="flow")
    np.testing.assert_array_equal([done.frame for done in run(engine, frames, masks)], usual)
    assert asked == [12, 6, 3, 3, 6, 3, 3]
    assert engine.halved == 3


def test_too_little_memory_for_one_frame_is_an_error(pan, monkeypatch) -> None:
    frames = pan(frames=3)
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 20:40, 30:50] = True

    def hungry(*args: object, **options: object) -> object:
        raise MemoryError

    monkeypatch.setattr(filling_module, "propagate", hungry)
    with pytest.raises(MemoryError):
        run(Engine(SIZE, method="flow"), frames, masks)


@pytest.mark.parametrize("own", [1, 2, 5])
def test_spans_without_context_frames(pan, still_mask, own) -> None:
    frames = pan(frames=7, step=(0, 0))
    masks = still_mask(frames)
    done = run(Engine(SIZE, method="auto", span=Span(own, 0)), frames, masks)
    assert len(done) == 7
    for one, frame, mask in zip(done, frames, masks, strict=True):
        np.testing.assert_array_equal(one.frame[~mask], frame[~mask])
