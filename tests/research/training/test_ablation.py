"""The list of ablations is data; each row is trained as it says, once, and scored."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from cleanplate.cli.train import ablate as command
from cleanplate.errors import InputError
from cleanplate.research.data.sampling import Sample
from cleanplate.research.training import RECIPES, ablation
from cleanplate.research.training.ablation import ABLATIONS, change, fill, read_plan, score

CPU = torch.device("cpu")
TINY = """
[size.tiny]
short_side = 48
clips = 3
scored = 1
length = 3
[size.tiny.recipe]
batch = 1
steps = 2
network = { channels = 8, widths = [4, 4], blocks = 1 }
sampling = { size = [24, 36], frames = 3 }
adversary = false
[[table]]
number = 6
title = "Reference rate"
[[table.rows]]
name = "often"
reference_step = 2
[[table.rows]]
name = "seldom"
[[table]]
number = 3
title = "Depth"
[[table.rows]]
name = "two"
network = { blocks = 2 }
[[table.rows]]
name = "one"
"""


@pytest.fixture
def listed(tmp_path):
    (tmp_path / "list.toml").write_text(TINY)
    return tmp_path / "list.toml"


@pytest.fixture
def clips(tmp_path):
    for number in range(3):
        (tmp_path / "data" / f"clip{number}").mkdir(parents=True)
        coarse = np.random.default_rng(number).integers(0, 256, (5, 8, 3), np.uint8)
        picture = cv2.resize(coarse, (72, 48), interpolation=cv2.INTER_CUBIC)
        for index in range(4):
            moved = np.roll(picture, 3 * index, 1)
            cv2.imwrite(str(tmp_path / "data" / f"clip{number}" / f"{index}.png"), moved)
    return tmp_path / "data"


@pytest.mark.parametrize("size", ["tiny", "full"])
def test_the_papers_tables_are_there_in_both_sizes(size):
    tables = {table.number: table for table in read_plan(ABLATIONS, size).tables}
    assert sorted(tables) == [2, 3, 6, 7, 8]
    whole = tables[2].rows[-1].recipe
    assert [row.recipe.network.scales for row in tables[2].rows] == [
        (1,),
        (3,),
        (6,),
        (12,),
        (1, 3, 6, 12),
    ]
    assert [row.recipe.network.blocks for row in tables[3].rows] == [2, 4, 6, 8]
    assert [row.reference_step for row in tables[6].rows] == [20, 10, 5]
    assert [row.recipe.network.masked for row in tables[7].rows] == [False, True]
    assert [row.recipe.adversary is None for row in tables[8].rows] == [True, True, False]
    # Where nothing is ablated, all tables have the same network.
    assert {tables[n].rows[-1].recipe for n in (6, 7, 8)} == {whole}


def test_the_full_size_is_the_papers_recipe():
    assert read_plan(ABLATIONS, "full", [7]).tables[0].rows[1].recipe == RECIPES["sttn"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("blocks = 2", "bricks = 2", "a SttnConfig has no 'bricks'"),
        ("blocks = 2", "blocks = 0", "blocks must be at least 1"),
        ("steps = 2", "steps = {}", "'steps' has no parts"),
        ("[size.tiny]", "[size.tiny", "no list of ablations"),
        ("length = 3", "", "'length'"),
        ("length = 3", 'length = "long"', "no list of ablations"),
        ("[size.tiny", "[size.huge", "no size 'tiny'; use huge"),
    ],
)
def test_a_list_that_is_wrong_is_refused_by_name(listed, old, new, message):
    listed.write_text(TINY.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_plan(listed, "tiny")


def test_a_table_that_is_not_there_is_refused(listed):
    with pytest.raises(InputError, match="no table 4"):
        read_plan(listed, "tiny", [3, 4])


def test_changes_reach_the_parts_of_a_recipe():
    recipe = change(RECIPES["light"], {"adversary": {"weight": 0.5}, "betas": [0.5, 0.9]})
    assert recipe.adversary.weight == 0.5
    assert recipe.adversary.begin == RECIPES["light"].adversary.begin
    assert recipe.betas == (0.5, 0.9)
    assert change(RECIPES["light-cpu"], {"adversary": {"width": 8}}).adversary.width == 8


def test_rows_are_trained_once_and_scored(listed, clips, tmp_path, monkeypatch):
    trained = []
    real = ablation.main
    monkeypatch.setattr(
        ablation, "main", lambda *given: trained.append(given[1].name) or real(*given)
    )
    seen = []
    plan = read_plan(listed, "tiny")
    found = ablation.ablate(
        plan, clips, tmp_path / "run", CPU, lambda done, total: seen.append((done, total))
    )
    assert seen == [(k, 4) for k in range(4)]
    assert list(found) == ["Table 6: Reference rate", "Table 3: Depth"]
    often, seldom = found["Table 6: Reference rate"]
    two, one = found["Table 3: Depth"]
    assert two["parameters"] > one["parameters"]
    assert {**one, "name": ""} == {**seldom, "name": ""}
    assert len(set(trained)) == 2
    for row in (often, seldom, two, one):
        assert 0 < row["hole_psnr"] < row["psnr"] < 100
    assert json.loads((tmp_path / "run" / "ablations.json").read_text()) == found
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/log.jsonl")}
    assert ablation.ablate(plan, clips, tmp_path / "run", CPU) == found
    assert weights == {path: path.stat().st_mtime_ns for path in weights}


def test_the_command_prints_the_table(listed, clips, tmp_path, capsys):
    options = [tmp_path / "run", "--clips", clips, "--list", listed, "--table", 3]
    command.main([str(each) for each in options], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "Table 3: Depth" in printed
    assert "Table 6" not in printed
    assert printed.count("\n| two |") == printed.count("\n| one |") == 1


def test_references_are_taken_as_often_as_asked():
    calls = []

    def network(images, masks):
        calls.append(images.shape[1])
        return torch.zeros_like(images)

    frames = np.full((30, 8, 8, 3), 10, np.uint8)
    masks = np.zeros((30, 8, 8), np.bool_)
    masks[:, 2:4, 2:4] = True
    made = fill(network, Sample(frames, masks), 10, CPU)
    assert calls == [6 + 2, 11 + 1, 11 + 2, 11 + 1, 11 + 2, 10 + 2]
    assert (made[masks] == 128).all()
    assert (made[~masks] == 10).all()
    calls.clear()
    fill(network, Sample(frames, masks), 100, CPU)
    assert calls[-1] == 10 + 1


def test_a_perfect_network_scores_best():
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    masks = np.zeros((3, 32, 32), np.bool_)
    masks[:, 8:20, 8:20] = True
    truth = torch.from_numpy(frames).permute(0, 3, 1, 2)[None] / 127.5 - 1
    case = Sample(frames, masks)
    perfect = score(lambda images, holes: truth, [case], 10, CPU)
    grey = score(lambda images, holes: torch.zeros_like(truth), [case], 10, CPU)
    assert perfect["hole_psnr"] == 100
    assert grey["hole_psnr"] < 20
    assert grey["psnr"] < perfect["psnr"]


def test_one_clip_is_too_few(listed, clips, tmp_path):
    for name in ("clip1", "clip2"):
        (clips / name).rename(tmp_path / name)
    with pytest.raises(InputError, match="one clip"):
        ablation.ablate(read_plan(listed, "tiny"), clips, tmp_path / "run", CPU)
