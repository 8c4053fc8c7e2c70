"""What runs is the network: all that is saved changes nothing but rounding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.network.block import (
    Buffers,
    Direct,
    MapPart,
    Nesting,
    RowSpan,
    Winograd,
    chain,
    transforms,
)
from cleanplate.network.runner import SttnRunner
from cleanplate.types import Box

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
BOX = Box(13, 9, 17, 12)


def make_network(config: SttnConfig) -> SttnNetwork:
    network = SttnNetwork(config)
    initialise(network, torch.Generator().manual_seed(1), deviation=0.2)
    return network.eval()


def make_clip(size: tuple[int, int], frames: int = 7) -> tuple[Tensor, Tensor]:
    """A hole at rest that is most of a patch, and images with nothing in it."""
    images = torch.rand(frames, 3, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    masks = torch.zeros(frames, 1, *size)
    masks[(..., *BOX.slices)] = 1
    return images * (1 - masks), masks


def fill(runner: SttnRunner, clip: tuple[Tensor, Tensor], frames: list[int], box: Box) -> Tensor:
    dtype = runner.buffers.dtype
    with torch.inference_mode():
        opened = runner.open(clip[0].to(dtype), clip[1].to(dtype))
        opened.fill(frames[1:], 2, box)  # what is kept of this must not matter
        return opened.fill(frames, 2, box).float()


@pytest.mark.parametrize("size", [(48, 96), (61, 77)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("channels", "blocks", "scales"),
    [(8, 1, (1, 3, 6, 12)), (9, 2, (1, 2, 4)), (12, 3, (3, 2, 4)), (6, 2, (2, 2))],
)
def test_a_filled_part_is_the_network_s(
    channels: int, blocks: int, scales: tuple[int, ...], masked: bool, size: tuple[int, int]
) -> None:
    config = SttnConfig(channels, (4, 6), blocks, scales, masked)
    network, clip, frames = make_network(config), make_clip(size), [4, 2, 0, 6, 5]
    with torch.inference_mode():
        expected = network(clip[0][None, frames], clip[1][None, frames])[0, :2]
    runner = SttnRunner(network, CPU, torch.float32)
    whole = fill(runner, clip, frames, Box(0, 0, size[1], size[0]))
    torch.testing.assert_close(whole, expected, atol=1e-4, rtol=0)
    part = fill(runner, clip, frames, BOX)
    inside = (..., *BOX.slices)
    torch.testing.assert_close(part[inside], expected[inside], atol=1e-4, rtol=0)
    assert not part[..., : BOX.y, :].any()


@pytest.mark.parametrize("box", [Box(0, 0, 3, 2), Box(93, 46, 3, 2), Box(40, 0, 1, 48)])
def test_a_hole_at_an_edge_of_the_picture(box: Box) -> None:
    network, clip = make_network(SttnConfig(8, (4, 6), 2)), make_clip((48, 96))
    with torch.inference_mode():
        expected = network(clip[0][None], clip[1][None])[0, :2]
    part = fill(SttnRunner(network, CPU, torch.float32), clip, list(range(7)), box)
    inside = (..., *box.slices)
    torch.testing.assert_close(part[inside], expected[inside], atol=1e-4, rtol=0)


def test_half_precision_is_near() -> None:
    network, clip = SttnNetwork(SttnConfig(32, (8, 16), 2)).eval(), make_clip((48, 96))
    initialise(network, torch.Generator().manual_seed(1), deviation=0.05)
    frames = list(range(7))
    exact, rough = (
        fill(SttnRunner(network, CPU, dtype), clip, frames, BOX)[(..., *BOX.slices)]
        for dtype in (torch.float32, torch.bfloat16)
    )
    error = (exact - rough).square().mean()
    assert 0 < error < 4 / 10**4.5  # 45 dB


def test_what_is_forgotten_is_found_again() -> None:
    network, clip = make_network(SttnConfig(8, (4, 6), 2)), make_clip((48, 96))
    with torch.inference_mode():
        opened = SttnRunner(network, CPU, torch.float32).open(*clip)
        before = opened.fill([1, 2, 5], 2, BOX)
        opened.forget([1, 2, 5])
        torch.testing.assert_close(opened.fill([1, 2, 5], 2, BOX), before, atol=0, rtol=0)


@pytest.mark.parametrize("size", [(6, 6), (4, 2), (2, 6)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("shape", [(2, 12, 16, 3), (1, 7, 9, 3), (1, 1, 5, 3)])
def test_minimal_filtering_is_convolution(
    size: tuple[int, int], dilation: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3, padding=dilation, dilation=dilation).double()
    maps = torch.randn(shape, dtype=torch.float64)
    buffers = Buffers(CPU, torch.float64)
    with torch.inference_mode():
        expected = Direct(layer, buffers)(maps)
        torch.testing.assert_close(Winograd(layer, buffers, size)(maps), expected)


@pytest.mark.parametrize("size", [2, 4, 6])
def test_transforms_give_a_filtered_row(size: int) -> None:
    back, kernel, forth = transforms(size)
    row = torch.arange(size + 2, dtype=torch.float64) ** 2
    taps = torch.tensor([2.0, -1.0, 5.0], dtype=torch.float64)
    found = back @ ((kernel @ taps) * (forth @ row))
    torch.testing.assert_close(found, row.unfold(0, 3, 1) @ taps)


@pytest.mark.parametrize("changed", [{"stride": 2}, {"padding": 0}, {"kernel_size": 1}])
def test_other_convolutions_are_refused(changed: dict[str, int]) -> None:
    options = {"kernel_size": 3, "padding": 1, **changed}
    layer = nn.Conv2d(3, 5, **options)
    with pytest.raises(ValueError, match="not a 3x3 convolution"):
        Direct(layer, Buffers(CPU, torch.float32))


def test_scales_that_divide_each_other_share_an_order() -> None:
    assert chain((12, 3, 1, 6)) == [(1, 3, 6, 12)]
    assert chain((2, 3, 4)) == [(2, 4), (3,)]


def test_patches_of_every_scale_lie_in_a_row() -> None:
    nesting = Nesting((1, 2, 4))
    maps = torch.arange(8 * 12).view(1, 8, 12, 1)
    ordered = nesting.order(maps, torch.empty(1, 96, 1, dtype=torch.long))
    for scale in (1, 2, 4):
        runs = ordered.view(scale * scale, -1)
        for number, run in zip(nesting.patches(scale).tolist(), runs, strict=True):
            row, column = number // scale, number % scale
            height, width = 8 // scale, 12 // scale
            patch = maps[0, row * height :][:height, column * width :][:, :width]
            assert set(run.tolist()) == set(patch.flatten().tolist())
    back = torch.zeros_like(maps)
    nesting.restore(ordered, back)
    assert torch.equal(back, maps)


def test_enlarging_reads_what_its_span_says() -> None:
    for length in (1, 2, 7):
        for start in range(2 * length):
            for stop in range(start + 1, 2 * length + 1):
                span = RowSpan(start, stop).halve(length)
                places = [at * (length - 1) / max(1, 2 * length - 1) for at in (start, stop - 1)]
                assert span.start <= places[0]
                assert span.stop >= min(length, int(places[1]) + 2)
                assert 0 <= span.start < span.stop <= length


def test_parts_grow_round_and_nest() -> None:
    part = MapPart(RowSpan(3, 6), RowSpan(0, 2))
    assert part.grow(2, (7, 3)) == MapPart(RowSpan(1, 7), RowSpan(0, 3))
    assert part.round(4, (7, 3)) == MapPart(RowSpan(0, 7), RowSpan(0, 3))
    assert part.size == (3, 2)
    assert part.inside(MapPart(RowSpan(1, 7), RowSpan(0, 3))) == (slice(2, 5), slice(0, 2))
