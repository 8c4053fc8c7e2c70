"""Zoom and pan on the stage, in a browser."""

import pytest

from .conftest import PATIENT
from .visiting import (
    CLEAR,
    MARKED,
    NOT_RED,
    RED,
    bring,
    draw_disc_box,
    expect,
    show,
    wait_for_pixel,
    work,
)  # fmt: skip

PICTURE = "document.getElementById('picture').getBoundingClientRect()"


def locate(page, x, y, canvas="#picture"):
    """Where a point of the video is on the screen."""
    area = page.locator(canvas).evaluate(
        "one => { const { x, y, width, height } = one.getBoundingClientRect();"
        " return { x, y, width, height }; }"
    )
    return area["x"] + x * area["width"] / 160, area["y"] + y * area["height"] / 96


def wait_for_width(page, condition):
    page.wait_for_function(f"() => {{ const {{ width }} = {PICTURE}; return {condition}; }}")


def zoom_in(page, x, y, times=2):
    """Turn the wheel over a point of the video; return its place, which stays where it was."""
    place = locate(page, x, y)
    page.mouse.move(*place)  # wheel events have whole pixels
    for _ in range(times):
        before = page.evaluate(f"{PICTURE}.width")
        page.mouse.wheel(0, -240)
        wait_for_width(page, f"width > {before}")
    return place


def test_the_wheel_zooms_at_the_pointer_and_marks_stay_exact(page, scene):
    bring(page, scene)
    zoom_in(page, 100, 40, 1)  # from here on the picture is larger than the stage
    place = zoom_in(page, 100, 40)
    assert locate(page, 100, 40) == pytest.approx(place, abs=4)
    assert page.evaluate("getComputedStyle(document.getElementById('picture')).imageRendering") == (
        "pixelated"
    )
    corners = locate(page, 98.5, 38), locate(page, 103, 41.25)
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=3)
    with page.expect_response(lambda answer: answer.url.endswith("/marks")) as saved:
        page.mouse.up()
    [mark] = saved.value.json()["marks"]["things"][0]["marks"]
    assert mark["box"] == pytest.approx([98.5, 38, 4.5, 3.25], abs=0.05)

    page.get_by_role("radio", name="Brush").check()
    page.mouse.click(*locate(page, 100, 40))
    page.keyboard.press("0")
    wait_for_pixel(page, "#overlay", 100, 40, MARKED)
    wait_for_pixel(page, "#overlay", 60, 40, CLEAR)


def test_keys_zoom_and_the_picture_is_moved_by_space_or_the_middle_button(page, scene):
    bring(page, scene)
    fit = page.evaluate(f"{PICTURE}.width")
    for _ in range(5):
        page.keyboard.press("+")
    wait_for_width(page, f"width > {6 * fit}")
    left, top = locate(page, 0, 0)
    page.mouse.move(500, 300)
    page.mouse.down(button="middle")
    page.mouse.move(560, 330, steps=3)
    page.mouse.up(button="middle")
    page.wait_for_function(f"() => Math.abs({PICTURE}.x - {left + 60}) < 1")
    assert locate(page, 0, 0) == pytest.approx((left + 60, top + 30), abs=1)
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(500, 300, steps=3)
    page.mouse.up()
    page.keyboard.up(" ")
    page.wait_for_function(f"() => Math.abs({PICTURE}.x - {left}) < 1")
    expect(page.locator("#play-button")).to_have_attribute("aria-label", "Play")
    expect(page.locator("#clear")).to_be_disabled()
    page.keyboard.press("-")
    wait_for_width(page, f"width < {6 * fit}")
    page.click("#zoom-fit")
    wait_for_width(page, f"Math.abs(width - {fit}) < 1")
    page.locator("#zoom-fit").evaluate("one => one.blur()")
    page.keyboard.press(" ")
    expect(page.locator("#picture[data-shown='15']")).to_be_visible()


def test_the_comparison_is_zoomed_too(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    work(page, "#track")
    work(page, "#remove")
    expect(page.locator("#label-after")).to_be_visible()
    show(page, 8)
    zoom_in(page, 70, 48)
    page.locator("#divider").fill("50")
    wait_for_pixel(page, "#picture", 66, 48, RED)
    wait_for_pixel(page, "#picture", 78, 48, NOT_RED)
    page.get_by_role("radio", name="Side by side").check()
    expect(page.locator("#picture-after")).to_be_visible()
    x, y = locate(page, 70, 48, "#picture-after")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=3)
    page.mouse.up()
    page.wait_for_function(f"() => {PICTURE}.x < 1000")
    before, after = locate(page, 70, 48), locate(page, 70, 48, "#picture-after")
    frames = [page.locator(name).bounding_box() for name in ("#frame", "#frame-after")]
    assert before[0] - frames[0]["x"] == pytest.approx(after[0] - frames[1]["x"], abs=1)
    assert after == pytest.approx((x + 30, y), abs=1)


def test_two_fingers_zoom_and_draw_nothing(browser, served, scene):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    context.set_default_timeout(PATIENT)
    page = context.new_page()
    page.goto(served.address)
    bring(page, scene)
    fit = page.evaluate(f"{PICTURE}.width")
    middle = locate(page, 80, 48)
    session = context.new_cdp_session(page)

    def touch(kind, *spread):
        points = [
            {"x": middle[0] + dx, "y": middle[1], "id": number} for number, dx in enumerate(spread)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20)
    touch("touchStart", -20, 20)
    for spread in (30, 40, 60):
        touch("touchMove", -spread, spread)
    touch("touchEnd")
    wait_for_width(page, f"Math.abs(width - {3 * fit}) < 3")
    assert locate(page, 80, 48) == pytest.approx(middle, abs=2)
    expect(page.locator("#clear")).to_be_disabled()
    page.locator("#zoom-fit").click()
    wait_for_width(page, f"Math.abs(width - {fit}) < 1")
    context.close()
