import pytest

from cleanplate.research.evaluation.report import (
    choose_leading,
    find_column,
    make_means,
    make_methods,
    make_rows,
)


def mean(psnr, flicker, **more):
    values = {"psnr": psnr, "flicker": flicker, "intervals": {}, "sequences": 2, "of": 2}
    return values | more


def find_cell(table, line, title):
    column = [cell.text for cell in table.head].index(title)
    return table.lines[line][column]


def test_the_best_is_marked_by_each_metrics_own_goal():
    means = {"a": mean(30.0, -4.0), "b": mean(20.0, 1.0), "c": mean(None, None)}
    table = make_means("still", means, ["psnr", "flicker"], {})
    assert [find_cell(table, line, "PSNR").is_best for line in range(3)] == [True, False, False]
    assert [find_cell(table, line, "flicker").is_best for line in range(3)] == [False, True, False]


def test_alone_nothing_is_best():
    means = {"a": mean(30.0, 0.0), "b": mean(None, None)}
    table = make_means("still", means, ["psnr"], {})
    assert not any(cell.is_best for line in table.lines for cell in line)


def test_missing_sequences_are_said():
    table = make_means("still", {"a": mean(30.0, 0.0, sequences=1)}, ["psnr"], {})
    assert find_cell(table, 0, "sequences").text == "1 of 2"


def test_every_line_fills_its_table():
    about = {"sequence": "x", "mask": "m", "method": "a", "frames": 4}
    rows = [
        {**about, "psnr": 30.0, "seconds": 2.0, "hole_share": 0.125},
        {**about, "error": "it | broke"},
        {**about, "left_out": "no rectangle", "hole_share": 0.125},
    ]
    table = make_rows(rows, ["psnr"])
    assert {sum(cell.span for cell in line) for line in table.lines} == {len(table.head)}
    assert [line[-1].text for line in table.lines] == [
        "0.500",
        "failed: it | broke",
        "left out: no rectangle",
    ]
    text = table.to_markdown()
    assert "it \\| broke" in text
    unescaped = [line.replace("\\|", "").count("|") for line in text.splitlines()[2:]]
    assert set(unescaped) == {len(table.head) + 1}


def test_methods_say_what_they_are():
    table = make_methods({"a": {"kind": "network", "weights": "ab12", "device": "cpu"}})
    assert [cell.text for cell in table.lines[0]] == ["a", "network", "–", "ab12", "cpu", "–"]


@pytest.mark.parametrize(
    ("names", "leading"),
    [(["psnr", "hole_psnr"], "hole_psnr"), (["flicker", "e_warp"], "e_warp"), ([], None)],
)
def test_the_leading_metric_is_of_the_hole(names, leading):
    assert choose_leading(names) == leading


def test_nothing_is_shown_as_a_dash():
    assert find_column("psnr").show(None) == "–"


def test_an_empty_column_says_why():
    table = make_means("still", {"a": mean(None, 0.0)}, ["psnr"], {"psnr": "no truth"})
    assert table.head[-1].small == "no truth"
