"""Undo and redo of every step of the marking, in a browser."""

import pytest

from .visiting import CLEAR, MARKED, bring, drag, draw_disc_box, expect, show, wait_for_pixel, work


@pytest.mark.parametrize("again", ["Control+Shift+Z", "Control+y"])
def test_undo_and_redo(page, scene, again):
    bring(page, scene)
    page.get_by_role("radio", name="Brush").check()
    drag(page, (20, 20), (30, 20))
    drag(page, (120, 70), (130, 70))
    wait_for_pixel(page, "#overlay", 122, 70, MARKED)
    page.keyboard.press("Control+z")
    wait_for_pixel(page, "#overlay", 122, 70, CLEAR)
    page.keyboard.press(again)
    wait_for_pixel(page, "#overlay", 122, 70, MARKED)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    wait_for_pixel(page, "#overlay", 23, 20, CLEAR)
    page.keyboard.press(again)
    wait_for_pixel(page, "#overlay", 23, 20, MARKED)
    wait_for_pixel(page, "#overlay", 122, 70, CLEAR)
    drag(page, (60, 20), (70, 20))
    page.keyboard.press(again)
    wait_for_pixel(page, "#overlay", 62, 20, MARKED)
    wait_for_pixel(page, "#overlay", 122, 70, CLEAR)


def test_undo_takes_back_boxes_kinds_and_clearing(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    work(page, "#track")
    wait_for_pixel(page, "#overlay", 70, 48, MARKED)
    page.click("#clear")
    wait_for_pixel(page, "#overlay", 70, 48, CLEAR)
    page.click("#undo")
    wait_for_pixel(page, "#overlay", 70, 48, MARKED)
    expect(page.locator("#remove")).to_be_enabled()

    page.get_by_role("radio", name="fixed area").check()
    drag(page, (10, 10), (30, 20))
    wait_for_pixel(page, "#overlay", 20, 15, MARKED)
    page.keyboard.press("Control+z")
    wait_for_pixel(page, "#overlay", 20, 15, CLEAR)
    page.keyboard.press("Control+z")
    expect(page.get_by_role("radio", name="Moving")).to_be_checked()
    expect(page.locator("#remove")).to_be_enabled()
    for _ in range(2):
        page.click("#redo")
    wait_for_pixel(page, "#overlay", 20, 15, MARKED)
    expect(page.locator("#redo")).to_be_disabled()


def test_undo_shows_the_frame_that_changes(page, scene):
    bring(page, scene)
    page.get_by_role("radio", name="Brush").check()
    show(page, 4)
    drag(page, (20, 20), (30, 20))
    show(page, 12)
    page.keyboard.press("Control+z")
    expect(page.locator("#picture[data-shown='4']")).to_be_visible()


def test_what_was_marked_before_a_reload_is_undone_too(page, scene):
    bring(page, scene)
    page.get_by_role("radio", name="Brush").check()
    with page.expect_response(lambda answer: answer.url.endswith("/marks")):
        drag(page, (20, 20), (30, 20))
    page.reload()
    wait_for_pixel(page, "#overlay", 25, 20, MARKED)
    page.keyboard.press("Control+z")
    wait_for_pixel(page, "#overlay", 25, 20, CLEAR)
    expect(page.locator("#undo")).to_be_disabled()
