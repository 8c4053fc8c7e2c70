"""The baselines' rows of the evaluation footage's own table come out again."""

import re
from pathlib import Path

import pytest

from cleanplate.research.evaluation.clips import Clip, survey
from cleanplate.research.evaluation.methods import choose_methods
from cleanplate.research.evaluation.protocols import PROTOCOLS, find_cases, make_metrics
from cleanplate.research.evaluation.scoring import score

FOOTAGE = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval"
COLUMNS = {"telea": 0, "navier-stokes": 1, "median": 2}
SCORE = r"([\d.]+) / ([\d.]+) / ([\d.]+)"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOOTAGE.is_dir(), reason="the evaluation footage is not here"),
]


def read_table():
    """`table[sequence, mask, method] = (psnr, ssim, hole_psnr)`."""
    table = {}
    for line in (FOOTAGE / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| ([\w-]+) \| (stationary|moving) \|", line)
        if row:
            scores = [tuple(map(float, found)) for found in re.findall(SCORE, line)]
            for method, column in COLUMNS.items():
                table[row[1], row[2], method] = scores[column]
    return table


def test_baselines_give_the_published_numbers(tmp_path):
    table = read_table()
    protocol = PROTOCOLS["folder"]
    methods = choose_methods(list(COLUMNS), model="default", device="cpu", precision="auto")
    cases = find_cases(protocol, FOOTAGE, masks=tmp_path).cases
    assert len(cases) == 6
    for case in cases:
        clip = Clip(case)
        found = survey(clip)
        for method in methods:
            names = ("psnr", "ssim", "hole_psnr")
            metrics = [
                metric
                for metric in make_metrics(protocol.conventions, truth=True)
                if metric.name in names
            ]
            values = score(method, clip, found, metrics).values
            published = table[case.sequence, case.mask, method.name]
            assert [values[name] for name in names] == pytest.approx(published, abs=0.05)
