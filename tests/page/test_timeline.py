"""Views of the mask, and the timeline, in a browser."""

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

BLACK = "alpha === 255 && red + green + blue === 0"
PINK = "alpha === 255 && red > 200"


def test_the_mask_is_shown_as_tint_outline_or_alone(page, scene):
    bring(page, scene)
    expect(page.locator("#looks")).to_be_hidden()
    page.get_by_role("radio", name="Fixed").check()
    drag(page, (40, 20), (120, 70))
    page.get_by_role("radio", name="Brush").check()
    page.mouse.move(10, 10)
    wait_for_pixel(page, "#overlay", 80, 45, MARKED)
    page.keyboard.press("m")
    expect(page.get_by_role("radio", name="Outline")).to_be_checked()
    wait_for_pixel(page, "#overlay", 80, 45, CLEAR)
    wait_for_pixel(page, "#overlay", 40, 45, "alpha > 60")
    page.get_by_role("radio", name="Mask", exact=True).check(force=True)
    wait_for_pixel(page, "#overlay", 80, 45, PINK)
    wait_for_pixel(page, "#overlay", 20, 45, BLACK)
    page.keyboard.press("m")
    wait_for_pixel(page, "#overlay", 20, 45, CLEAR)


def test_the_timeline_shows_what_was_found_and_marked(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    expect(page.locator(".lane .hand")).to_have_count(1)
    expect(page.locator(".lane .found")).to_have_count(0)
    work(page, "#track")
    expect(page.locator(".lane .found").first).to_be_visible()
    spans = page.locator(".lane .found").evaluate_all(
        "all => all.map(one => parseFloat(one.style.left) + parseFloat(one.style.width))"
    )
    assert max(spans) > 99
    page.click("#clear")
    expect(page.locator(".lane")).to_have_count(0)


def test_the_filmstrip_shows_frames(page, scene):
    bring(page, scene)
    page.wait_for_function(
        """() => {
          const one = document.getElementById("filmstrip");
          const copy = new OffscreenCanvas(one.width, one.height).getContext("2d");
          copy.drawImage(one, 0, 0);
          const { data } = copy.getImageData(one.width - 4, one.height >> 1, 1, 1);
          return data[3] === 255;
        }"""
    )
    area = page.locator("#filmstrip").bounding_box()
    page.mouse.click(area["x"] + area["width"] * 0.53, area["y"] + 10)
    expect(page.locator("#picture[data-shown='8']")).to_be_visible()


def test_handles_limit_a_fixed_area(page, scene):
    bring(page, scene)
    page.get_by_role("radio", name="Fixed").check()
    drag(page, (40, 20), (120, 70))
    area = page.locator("#lanes").bounding_box()
    handle = page.locator(".handle.first").bounding_box()
    page.mouse.move(handle["x"] + 5, handle["y"] + 8)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 4.5 / 16, handle["y"] + 8, steps=3)
    page.mouse.up()
    expect(page.locator("#range-text")).to_have_text("From 0:00.50 to 0:01.87")
    show(page, 3)
    wait_for_pixel(page, "#overlay", 80, 45, CLEAR)
    show(page, 4)
    wait_for_pixel(page, "#overlay", 80, 45, MARKED)
