"""Progress, the time left, focus and the end of a job, in a browser."""

import pytest

from .visiting import bring, draw_disc_box, expect, work

FOLLOW = """async (jobs) => {
  const { follow } = await import("/static/progress.js");
  return jobs.map((job) => follow({ id: "one", job: { status: "running", ...job } }));
}"""


def test_the_share_never_falls_and_the_time_never_grows(page):
    stages = [
        ("Reading the masks", 0, None, 1), ("Removing", 0, 100, 4), ("Removing", 30, 100, 10),
        ("Removing", 31, 100, 40), ("Removing", 100, 100, 60),
        ("Preparing the comparison", 0, 100, 61), ("Preparing the comparison", 90, 100, 64),
    ]  # fmt: skip
    jobs = [
        {"kind": "remove", "stage": stage, "done": done, "total": total, "elapsed": elapsed}
        for stage, done, total, elapsed in stages
    ]
    seen = page.evaluate(FOLLOW, jobs)
    shares = [one["share"] for one in seen]
    assert shares == sorted(shares)
    assert shares[2] == pytest.approx(0.3, abs=0.01)
    assert shares[-1] < 1
    left = [one["left"] for one in seen if one["left"] is not None]
    assert left == sorted(left, reverse=True)
    assert left[0] == pytest.approx(10 * 0.7 / 0.3, rel=0.1)


def test_parts_of_a_job_share_its_progress(page):
    jobs = [
        {"kind": "track", "stage": f"Tracking, {part} of 2", "done": 50, "total": 100, "elapsed": 1}
        for part in (1, 2)
    ]
    first, second = page.evaluate(FOLLOW, jobs)
    assert second["share"] - first["share"] == pytest.approx(0.5)


def test_the_focus_goes_from_step_to_step(page, scene):
    bring(page, scene)
    draw_disc_box(page)
    page.locator("#track").focus()
    work(page, "#track")
    expect(page.locator("#remove")).to_be_focused()
    work(page, "#remove")
    expect(page.locator("#download")).to_be_focused()
    expect(page.locator("#said")).to_have_text("Removed: disc.mp4")


def test_the_title_says_how_far_it_is(page, scene, hold):
    bring(page, scene)
    draw_disc_box(page)
    page.click("#track")
    expect(page.locator("#job")).to_be_visible()
    hold.set()
    expect(page.locator("#job")).to_be_hidden()
    page.wait_for_function("() => document.title === 'disc.mp4 · cleanplate'")


def test_leaving_asks_until_the_result_is_downloaded(page, scene):
    leaves = """() => {
      const event = new Event("beforeunload", { cancelable: true });
      return dispatchEvent(event);
    }"""
    bring(page, scene)
    draw_disc_box(page)
    work(page, "#track")
    page.wait_for_function(leaves)
    work(page, "#remove")
    assert not page.evaluate(leaves)
    with page.expect_download():
        page.click("#download")
    assert page.evaluate(leaves)
