"""What a person does on the page in a browser, and sees there."""

from __future__ import annotations

import numpy as np

from .conftest import PATIENT, SIZE, draw_scene

WIDTH, HEIGHT = SIZE


def expect(locator):
    from playwright.sync_api import expect as look

    look.set_options(timeout=PATIENT)
    return look(locator)


def bring(page, path):
    page.set_input_files("#file", path)
    expect(page.locator("#picture[data-shown='0']")).to_be_visible()


def show(page, index):
    page.locator("#scrub").fill(str(index))
    expect(page.locator(f"#picture[data-shown='{index}']")).to_be_visible()


def drag(page, *points):
    """Draw with the pointer through points of the video."""
    area = page.locator("#overlay").bounding_box()
    places = [
        (area["x"] + x * area["width"] / WIDTH, area["y"] + y * area["height"] / HEIGHT)
        for x, y in points
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def draw_disc_box(page, index=8):
    rows, columns = np.nonzero(draw_scene(index)[1])
    show(page, index)
    drag(page, (columns.min() - 2, rows.min() - 2), (columns.max() + 3, rows.max() + 3))


def work(page, button):
    """Press a button that starts a job, and wait until the job is over, however short it was."""
    expect(page.locator(button)).to_be_enabled()
    page.evaluate(
        """() => {
          const job = document.getElementById("job");
          window.jobWasShown = false;
          const note = () => { window.jobWasShown ||= !job.hidden; };
          new MutationObserver(note).observe(job, { attributes: true });
        }"""
    )
    page.click(button)
    page.wait_for_function("() => window.jobWasShown")
    expect(page.locator("#job")).to_be_hidden()


MARKED = "alpha > 60"
CLEAR = "alpha === 0"
RED = "red > green + 80"
NOT_RED = "red < green + 80"


def wait_for_pixel(page, canvas, x, y, condition):
    """Wait until a canvas looks as it should at a point of the video."""
    page.wait_for_function(
        f"""([canvas, x, y, width, height]) => {{
          const one = document.querySelector(canvas);
          const place = [-Math.round(x * one.width / width), -Math.round(y * one.height / height)];
          const copy = new OffscreenCanvas(1, 1).getContext("2d", {{ willReadFrequently: true }});
          copy.drawImage(one, ...place);
          const [red, green, blue, alpha] = copy.getImageData(0, 0, 1, 1).data;
          return {condition};
        }}""",
        arg=[canvas, x, y, WIDTH, HEIGHT],
    )
