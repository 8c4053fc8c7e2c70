import re
from xml.etree import ElementTree

import pytest

from cleanplate.research.evaluation.page import choose_ticks, draw_curves


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(12, 28, [10, 15, 20, 25, 30]), (0.1, 0.5, [0.1, 0.2, 0.3, 0.4, 0.5]), (7, 7, None)],
)
def test_ticks_are_round_and_enclose(low, high, ticks):
    found = choose_ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert found[0] < found[-1]
    if ticks:
        assert found == pytest.approx(ticks)


def test_frames_without_a_value_are_gaps():
    picture = draw_curves({"a <b>": [10, 11, None, 12, 13]}, "PSNR, dB")
    path = next(node for node in ElementTree.fromstring(picture) if node.get("class") == "line0")
    assert path[0].text == "a <b>"
    assert len(re.findall("M", path.get("d"))) == 2
    assert len(re.findall("L", path.get("d"))) == 2


def test_higher_values_are_higher_up():
    picture = draw_curves({"low": [10, 10], "high": [20, 20]}, "dB")
    paths = {node.get("class"): node.get("d") for node in ElementTree.fromstring(picture)}
    height = {name: float(paths[name].split("h")[0].split()[1]) for name in ("line0", "line1")}
    assert height["line1"] < height["line0"]


def test_nothing_to_draw_is_nothing():
    assert draw_curves({"a": [None, None]}, "dB") == ""
