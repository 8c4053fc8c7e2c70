"""The page in a real browser, from upload to download."""

from __future__ import annotations

import re

import cv2
import pytest

from cleanplate.video import open_reader, probe

from .conftest import FRAMES, PATIENT, draw_scene, write_scene
from .visiting import (
    CLEAR,
    MARKED,
    NOT_RED,
    RED,
    bring,
    drag,
    draw_disc_box,
    expect,
    show,
    wait_for_pixel,
    work,
)  # fmt: skip


def test_from_upload_to_download(page, scene, tmp_path):
    expect(page.locator("#limits")).to_have_text("up to 2 MB and 30 seconds")
    bring(page, scene)
    draw_disc_box(page)
    work(page, "#track")
    show(page, 2)
    expect(page.locator("#track-text")).to_contain_text("Found")
    wait_for_pixel(page, "#overlay", 40, 48, MARKED)
    wait_for_pixel(page, "#overlay", 120, 48, CLEAR)

    page.get_by_role("radio", name="Brush").check()
    drag(page, (140, 12), (150, 12))
    wait_for_pixel(page, "#overlay", 145, 12, MARKED)
    page.get_by_role("radio", name="Erase").check()
    drag(page, (144, 12), (146, 12))
    wait_for_pixel(page, "#overlay", 145, 12, CLEAR)
    page.click("#undo")
    wait_for_pixel(page, "#overlay", 145, 12, MARKED)
    work(page, "#track")
    page.click("#undo")
    expect(page.locator("#track-text")).to_contain_text("The marks changed")
    page.click("#redo")
    expect(page.locator("#track-text")).to_contain_text("Found")

    work(page, "#remove")
    expect(page.locator("#result-text")).to_contain_text("disc-clean.mp4")
    expect(page.locator("#label-after")).to_be_visible()
    page.locator("#divider").fill("50")
    show(page, 15)
    wait_for_pixel(page, "#picture", 105, 48, NOT_RED)
    page.locator("#divider").fill("100")
    wait_for_pixel(page, "#picture", 105, 48, RED)

    page.get_by_role("radio", name="Side by side").check()
    expect(page.locator("#picture-after")).to_be_visible()
    show(page, 0)
    page.click("#play-button")
    expect(page.locator(f"#picture[data-shown='{FRAMES - 1}']")).to_be_visible()
    expect(page.locator("#play-button")).to_have_attribute("aria-label", "Play")

    with page.expect_download() as download:
        page.click("#download")
    target = tmp_path / download.value.suggested_filename
    download.value.save_as(target)
    check_result(target)
    with page.expect_download() as download:
        page.click("#download-masks")
    assert download.value.suggested_filename == "disc-masks.zip"


def test_the_result_shows_where_its_pixels_come_from(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    work(page, "#track")
    page.keyboard.press("w")
    work(page, "#remove")
    expect(page.locator("#shares")).to_be_hidden()
    page.get_by_role("radio", name="Result").check()
    show(page, 8)
    wait_for_pixel(page, "#picture", 70, 48, NOT_RED)
    page.keyboard.press("w")
    expect(page.locator("#shares .near")).to_have_text(re.compile(r"\d+ % from near frames"))
    green = "green > red + 30 && green > blue + 30"
    wait_for_pixel(page, "#picture", 70, 48, green)
    page.get_by_role("radio", name="Side by side").check()
    wait_for_pixel(page, "#picture-after", 70, 48, green)
    page.get_by_role("checkbox", name="Show where").uncheck()
    wait_for_pixel(page, "#picture-after", 70, 48, f"!({green})")


def test_a_plate_is_edited_and_given_back(page, scene, tmp_path):
    bring(page, scene)
    draw_disc_box(page)
    work(page, "#track")
    work(page, "#remove")
    expect(page.locator("#plates-part")).to_be_visible()
    page.click("#plates-part summary")
    plate = page.locator("#plates li").first
    expect(plate.locator("img")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#plates img').naturalWidth === 160")
    with page.expect_download() as download:
        plate.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "plate-1.png"
    download.value.save_as(tmp_path / "plate.png")
    picture = cv2.imread(str(tmp_path / "plate.png"))
    picture[30:66, 15:140] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "plate.png"), picture)
    expect(page.locator("#again")).to_be_disabled()
    with page.expect_file_chooser() as chooser:
        plate.get_by_role("button", name="Replace").click()
    chooser.value.set_files(tmp_path / "plate.png")
    expect(plate.locator("p").first).to_contain_text("edited")
    expect(page.locator("#result-text")).to_contain_text("older than your last changes")
    work(page, "#again")
    page.get_by_role("radio", name="Result").check()
    show(page, 8)
    wait_for_pixel(page, "#picture", 70, 48, RED)
    page.get_by_role("button", name="Restore").click()
    expect(plate.locator("p").first).not_to_contain_text("edited")


def check_result(path):
    info = probe(path)
    assert path.name == "disc-clean.mp4"
    assert (info.frame_count, info.audio_streams, str(info.size)) == (FRAMES, 1, "160x96")
    with open_reader(path, info) as reader:
        for picture in reader:
            disc = draw_scene(picture.index)[1]
            red = picture.rgb[..., 0].astype(int) - picture.rgb[..., 1]
            assert (red[disc] > 80).mean() < 0.02, picture.index


def test_a_job_is_cancelled(page, served, scene, hold):
    bring(page, scene)
    draw_disc_box(page)
    expect(page.locator("#track")).to_be_enabled()
    page.click("#track")
    expect(page.locator("#job")).to_be_visible()
    page.click("#cancel")
    expect(page.locator("#job")).to_be_hidden()
    expect(page.locator("#remove")).to_be_disabled()
    clip = page.url.partition("#")[2]
    assert not list(served.folder.rglob(f"{clip}/*/masks"))
    work(page, "#track")


def test_a_job_is_found_again_after_a_reload(page, context, scene, watch, hold):
    bring(page, scene)
    draw_disc_box(page)
    expect(page.locator("#track")).to_be_enabled()
    page.click("#track")
    expect(page.locator("#job")).to_be_visible()
    page.reload()
    second = context.new_page()
    seen = watch(second)
    second.goto(page.url)
    for tab in (page, second):
        expect(tab.locator("#job")).to_be_visible()
    hold.set()
    for tab in (page, second):
        expect(tab.locator(".tab.current")).to_contain_text("disc.mp4")
        expect(tab.locator("#remove")).to_be_enabled()
    second.get_by_role("radio", name="Brush").check()
    drag(second, (20, 20), (30, 20))
    expect(page.locator("#undo")).to_be_enabled()
    second.close()
    assert seen.errors == []


def test_what_cannot_be_used_is_said_in_plain_words(page, tmp_path):
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("no video at all\n" * 50)
    page.set_input_files("#file", wrong)
    expect(page.locator("#stage-note")).to_contain_text("'notes.mp4' is not a video that can be")
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator(".tab")).to_contain_text("failed")
    page.click(".tab .close")
    expect(page.locator("#welcome")).to_be_visible()

    large = tmp_path / "large.mp4"
    large.write_bytes(b"\0" * (3 << 20))
    page.set_input_files("#file", large)
    expect(page.locator("#notice")).to_contain_text("The video is larger than 2 MB")
    page.click("#notice-close")

    long = write_scene(tmp_path / "long.mp4", 8 * 31)
    page.set_input_files("#file", long)
    expect(page.locator("#stage-note")).to_contain_text("lasts 0:31 but at most 0:30")


def test_all_of_it_without_a_pointer(page, scene):
    page.keyboard.press("Tab")
    page.set_input_files("#file", scene)
    expect(page.locator("#picture[data-shown='0']")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#picture[data-shown='12']")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("#picture[data-shown='0']")).to_be_visible()

    page.keyboard.press("n")
    for number in ("14", "32", "33", "33"):
        page.keyboard.type(number)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#track")).to_be_enabled()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid", "focus is seen"
    page.keyboard.press("f")
    expect(page.locator("#remove")).to_be_enabled()
    page.keyboard.press("r")
    expect(page.locator("#result")).to_be_visible()
    page.keyboard.press("v")
    expect(page.locator("#frame-after")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_screen_and_follows_the_scheme(browser, served, scheme):
    context = browser.new_context(viewport={"width": 400, "height": 700}, color_scheme=scheme)
    page = context.new_page()
    page.goto(served.address)
    expect(page.locator("#choose")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    level = int(re.search(r"\d+", ground)[0])
    assert (level > 200) == (scheme == "light")
    context.close()


def test_closing_asks_before_work_is_lost(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    expect(page.locator("#track")).to_be_enabled()
    page.click("#track")
    page.click(".tab .close")
    expect(page.locator("#closing-title")).to_have_text("Close disc.mp4?")
    page.keyboard.press("Escape")
    expect(page.locator("#closing")).to_be_hidden()
    expect(page.locator("#remove")).to_be_enabled()
    page.click(".tab .close")
    expect(page.locator("#closing-text")).to_contain_text("deleted from the server")
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator(".tab")).to_contain_text("disc.mp4")
    page.click(".tab .close")
    page.get_by_role("button", name="Close the clip").click()
    expect(page.locator("#welcome")).to_be_visible()


def test_a_new_clip_begins_with_the_usual_tool(page, scene):
    bring(page, scene)
    page.get_by_role("radio", name="Erase").check()
    page.locator("#radius").fill("40")
    page.locator("#options").evaluate("one => { one.open = true; }")
    page.locator("#dilate").fill("9")
    bring(page, scene)
    expect(page.locator(".tab")).to_have_count(2)
    expect(page.get_by_role("radio", name="Box")).to_be_checked()
    expect(page.locator("#dilate")).to_have_value("4")
    page.get_by_role("radio", name="Brush").check()
    expect(page.locator("#radius")).to_have_value("16")


def test_notices_lie_above_the_picture_on_a_phone(browser, served, scene, tmp_path):
    context = browser.new_context(viewport={"width": 400, "height": 700})
    context.set_default_timeout(PATIENT)
    page = context.new_page()
    page.goto(served.address)
    bring(page, scene)
    page.mouse.wheel(0, 2000)
    page.wait_for_function("() => scrollY > 0")
    large = tmp_path / "large.mp4"
    large.write_bytes(b"\0" * (3 << 20))
    page.set_input_files("#file", large)
    expect(page.locator("#notice")).to_contain_text("The video is larger than 2 MB")
    page.wait_for_function(
        """() => {
          const area = document.getElementById("notice").getBoundingClientRect();
          const [x, y] = [area.left + area.width / 4, area.top + area.height / 2];
          const there = document.elementFromPoint(x, y);
          return Boolean(there?.closest("#notice"));
        }"""
    )
    context.close()
