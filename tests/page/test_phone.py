"""Progress, Cancel and errors are in sight, and targets large enough, on a small screen."""

import pytest

from .conftest import PATIENT
from .visiting import bring, drag, expect

WIDTH, HEIGHT = 390, 844
LARGE = 44


@pytest.fixture(params=["light", "dark"])
def phone(request, browser, served):
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=request.param, has_touch=True
    )
    context.set_default_timeout(PATIENT)
    page = context.new_page()
    page.goto(served.address)
    yield page
    context.close()


IN_SIGHT = """(id) => {
  const area = document.getElementById(id).getBoundingClientRect();
  const there = document.elementFromPoint(area.left + area.width / 2, area.top + area.height / 2);
  const shown = document.getElementById(id);
  return area.width > 0 && area.top >= 0 && area.bottom <= innerHeight && area.right <= innerWidth
    && (shown.contains(there) || there?.contains(shown));
}"""


def mark_area(page):
    page.get_by_role("radio", name="Fixed").check(force=True)
    drag(page, (20, 20), (60, 60))
    expect(page.locator("#track")).to_be_enabled()


def scroll(page, place):
    page.evaluate(f"scrollTo(0, {place})")


def test_progress_and_cancel_stay_in_sight(phone, scene, hold):
    bring(phone, scene)
    mark_area(phone)
    phone.locator("#track").click()
    expect(phone.locator("#job")).to_be_visible()
    for place in ("0", "document.body.scrollHeight"):
        scroll(phone, place)
        for name in ("job-bar", "cancel", "job-stage"):
            phone.wait_for_function(IN_SIGHT, arg=name)
    assert phone.evaluate("document.documentElement.scrollWidth") <= WIDTH
    phone.locator("#cancel").click()
    expect(phone.locator("#job")).to_be_hidden()


def test_a_failure_is_said_once_and_in_sight(phone, scene):
    bring(phone, scene)
    phone.evaluate("document.getElementById('kind-text').hidden = false")
    phone.locator("input[name=kind][value=text]").check(force=True)
    expect(phone.locator("#track")).to_be_enabled()
    phone.locator("#track").click()
    expect(phone.locator("#job-error")).to_be_visible()
    for place in ("0", "document.body.scrollHeight"):
        scroll(phone, place)
        phone.wait_for_function(IN_SIGHT, arg="job-error-text")
    message = phone.locator("#job-error-text").inner_text()
    assert phone.locator("body").inner_text().count(message) == 1
    expect(phone.locator("#notice")).to_be_hidden()
    phone.locator("#job-close").click()
    expect(phone.locator("#job")).to_be_hidden()


def test_targets_are_large_enough(phone, scene):
    bring(phone, scene)
    mark_area(phone)
    small = phone.evaluate(
        """(least) => {
          const targets = "button, a, summary, .choice label, .check, input[type=range], .swatch";
          return [...document.querySelectorAll(targets)]
            .filter((one) => one.checkVisibility() && !one.closest("dialog, .unseen"))
            .map((one) => [one.id || one.textContent.trim(), one.getBoundingClientRect()])
            .filter(([, area]) => area.height > 0 && area.height < least)
            .map(([name, area]) => `${name}: ${area.height}`);
        }""",
        LARGE - 0.5,
    )
    assert small == []
