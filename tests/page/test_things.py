"""Several things on one clip, in a browser."""

from .visiting import (
    CLEAR,
    MARKED,
    bring,
    drag,
    draw_disc_box,
    expect,
    show,
    wait_for_pixel,
    work,
)

BLUE = "alpha > 60 && blue > red"


def mark_two(page, scene):
    """A moving disc and a fixed area."""
    bring(page, scene)
    expect(page.locator("#things")).to_be_hidden()
    expect(page.locator("#add-thing")).to_be_hidden()
    draw_disc_box(page)
    page.click("#add-thing")
    page.get_by_role("radio", name="Fixed").check()
    drag(page, (110, 8), (150, 20))
    wait_for_pixel(page, "#overlay", 130, 14, BLUE)


def test_things_of_mixed_kinds_are_removed_in_one_go(page, scene):
    mark_two(page, scene)
    expect(page.locator("#things li")).to_have_count(2)
    work(page, "#track")
    show(page, 2)
    wait_for_pixel(page, "#overlay", 40, 48, MARKED)
    wait_for_pixel(page, "#overlay", 130, 14, BLUE)

    page.get_by_role("checkbox", name="Remove Area 2").uncheck(force=True)
    wait_for_pixel(page, "#overlay", 130, 14, CLEAR)
    expect(page.get_by_role("checkbox", name="Remove Area 2")).to_be_focused()
    page.get_by_role("checkbox", name="Remove Area 2").check(force=True)
    wait_for_pixel(page, "#overlay", 130, 14, BLUE)

    page.get_by_role("button", name="Delete Object 1").click()
    wait_for_pixel(page, "#overlay", 40, 48, CLEAR)
    expect(page.locator("#things")).to_be_hidden()
    page.keyboard.press("Control+z")
    wait_for_pixel(page, "#overlay", 40, 48, MARKED)
    page.get_by_role("button", name="Area 2", exact=True).click()
    page.get_by_role("textbox", name="Name").fill("logo")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_role("button", name="Object 1", exact=True).click()
    expect(page.get_by_role("button", name="Object 1", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="logo", exact=True)).to_be_visible()
    work(page, "#remove")
    expect(page.locator("#result-text")).to_contain_text("Done")


def test_strokes_go_to_the_thing_that_is_chosen(page, scene):
    mark_two(page, scene)
    page.get_by_role("radio", name="Erase").check()
    drag(page, (128, 14), (132, 14))
    wait_for_pixel(page, "#overlay", 130, 14, CLEAR)
    page.get_by_role("button", name="Object 1", exact=True).click()
    page.get_by_role("radio", name="Brush").check()
    drag(page, (128, 14), (132, 14))
    wait_for_pixel(page, "#overlay", 130, 14, "alpha > 60 && red > blue")


def test_a_fixed_area_is_limited_to_a_part_of_the_clip(page, scene):
    mark_two(page, scene)
    expect(page.locator("#range-text")).to_have_text("In the whole clip")
    page.click("#range-text")
    show(page, 4)
    page.click("#range-from")
    show(page, 9)
    page.click("#range-to")
    expect(page.locator("#range-text")).to_have_text("From 0:00.50 to 0:01.12")
    wait_for_pixel(page, "#overlay", 130, 14, BLUE)
    show(page, 10)
    wait_for_pixel(page, "#overlay", 130, 14, CLEAR)
    page.keyboard.press("Control+z")
    wait_for_pixel(page, "#overlay", 130, 14, BLUE)
    page.keyboard.press("Control+Shift+z")
    page.click("#range-all")
    wait_for_pixel(page, "#overlay", 130, 14, BLUE)
