"""A part of the clip, tried or written alone, in a browser."""

import pytest

from .visiting import (
    NOT_RED,
    RED,
    bring,
    draw_disc_box,
    expect,
    show,
    wait_for_pixel,
    work,
)


@pytest.fixture
def found(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    expect(page.locator("#try")).to_be_disabled()
    work(page, "#track")
    return page


def test_one_frame_is_tried_and_then_the_whole_clip(found):
    show(found, 8)
    work(found, "#try-frame")
    expect(found.locator("#result-text")).to_contain_text("Tried on frame 9")
    expect(found.locator("#download")).to_be_hidden()
    found.keyboard.press("w")
    expect(found.locator("#shares .made_up")).to_have_text("0 % made up")
    found.keyboard.press("w")
    found.get_by_role("radio", name="Result").check()
    wait_for_pixel(found, "#picture", 70, 48, NOT_RED)
    show(found, 10)
    wait_for_pixel(found, "#picture", 80, 48, RED)
    work(found, "#whole")
    expect(found.locator("#result-text")).to_contain_text("Done")
    expect(found.locator("#whole")).to_be_hidden()
    found.get_by_role("radio", name="Result").check()
    show(found, 10)
    wait_for_pixel(found, "#picture", 80, 48, NOT_RED)


def test_in_and_out_points_limit_what_is_written(found):
    show(found, 4)
    found.keyboard.press("i")
    show(found, 6)
    found.keyboard.press("o")
    expect(found.locator("#part-text")).to_have_text("Part: 0:00.50 to 0:00.75")
    expect(found.locator("#part-bar")).to_be_visible()
    show(found, 12)
    work(found, "#remove")
    expect(found.locator("#picture[data-shown='6']")).to_be_visible()
    expect(found.locator("#result-text")).to_contain_text("Removed from 0:00.50 to 0:00.75")
    with found.expect_download() as download:
        found.click("#download")
    assert download.value.suggested_filename == "disc-clean.mp4"


def test_three_seconds_are_chosen_around_the_frame(page):
    parts = page.evaluate(
        """async () => {
          const { partToTry } = await import("/static/part.js");
          const { state } = await import("/static/state.js");
          state.clips = [{ id: "x", video: { frames: 100 } }];
          state.times = Array.from({ length: 100 }, (_, index) => index / 10);
          const choose = (index, part = null) => {
            Object.assign(state, { id: "x", index, part });
            return partToTry();
          };
          const all = [choose(0), choose(50), choose(99), choose(0, { first: 40, last: 49 })];
          Object.assign(state, { id: null, clips: [], part: null });
          return all.map(({ first, last }) => [first, last]);
        }"""
    )
    assert parts == [[0, 29], [35, 64], [69, 98], [40, 49]]
