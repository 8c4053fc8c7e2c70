"""The page of a report in a real browser, without a network."""

import pytest
from tests.patience import PATIENCE

from cleanplate.research.evaluation import run
from cleanplate.research.evaluation.page import find_extremes


@pytest.fixture
def file(make_data, write, frames, tmp_path):
    """A report's page; one of its methods fails on one sequence."""
    write(tmp_path / "theirs" / "one", frames)
    methods = ("telea", "median", f"theirs={tmp_path / 'theirs'}")
    run.evaluate(make_data(), tmp_path / "out", methods=methods, device="cpu")
    return tmp_path / "out" / "report.html"


def test_it_opens_without_a_network(browser, watch, file):
    context = browser.new_context(offline=True, java_script_enabled=True)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    seen = watch(page)
    page.goto(file.as_uri())
    lines = page.locator("h2:text-is('Sequences') + .wide tbody tr")
    assert lines.count() == 12
    assert lines.first.locator("td").all_inner_texts()[:3] == ["one", "moving", "telea"]
    assert page.locator("td.failed").count() == 2
    pictures = page.locator("figure img")
    assert pictures.count() >= 4
    loaded = "images => images.every(image => image.complete && image.naturalWidth > 100)"
    assert pictures.evaluate_all(loaded)
    assert page.locator("details svg[role=img] path.line0").count() == 4
    context.close()
    assert seen.requests == [file.as_uri()]
    assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_theme_and_fits_a_small_screen(scheme, browser, file):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 400, "height": 800})
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    page.goto(file.as_uri())
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    level = int(ground.split("(")[1].split(",")[0])
    assert level > 200 if scheme == "light" else level < 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()


def test_extremes_are_of_the_leading_metric():
    rows = [
        {"sequence": name, "mask": "m", "method": "a", "hole_psnr": value, "e_warp": value}
        for name, value in (("x", 20.0), ("y", 30.0), ("z", 10.0))
    ]
    said = find_extremes(rows, ["psnr", "hole_psnr"])
    assert said == {("y", "m"): ["best of a"], ("z", "m"): ["worst of a"]}
    said = find_extremes(rows, ["e_warp"])
    assert said == {("z", "m"): ["best of a"], ("y", "m"): ["worst of a"]}
