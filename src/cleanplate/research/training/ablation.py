"""Ablations as data: rows of changes to a recipe, each trained and scored on the same clips."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cleanplate.errors import InputError
from cleanplate.removal.networks import REFERENCE_STEP, crossfade_weight, schedule_windows
from cleanplate.research import holes as synthetic
from cleanplate.research.data.cache import build_cache, is_cache, open_cache
from cleanplate.research.data.clips import Clip, hold_out, open_clips
from cleanplate.research.data.sampling import Crop, Sample
from cleanplate.research.evaluation.protocols import Conventions, make_metrics
from cleanplate.research.training.config import RECIPES, Adversary, Recipe
from cleanplate.research.training.feed import draw_from, stack, to_network
from cleanplate.research.training.loop import main
from cleanplate.storage.paths import read_text

ABLATIONS = Path(__file__).with_name("ablations.toml")
"""The paper's tables 2, 3, 6, 7 and 8."""
METRICS = ("psnr", "hole_psnr", "ssim_gaussian", "e_warp")

Progress = Callable[[int, int | None], None]
Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class Row:
    """Row of a table: changes to training and to inference."""

    name: str
    recipe: Recipe
    reference_step: int = REFERENCE_STEP

    @property
    def folder(self) -> str:
        """Name of the training configuration; rows with the same one share the run."""
        return hashlib.sha256(repr(self.recipe).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to compare; `number` is the number of the table in the paper."""

    number: int
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows to train, and clips to score.

    Attributes:
        tables: all tables.
        short_side: short side of clips, in pixels.
        clips: number of clips of the data set to use, 0 for all.
        scored: number of these held out for scoring.
        length: number of scored frames per clip.
    """

    tables: tuple[Table, ...]
    short_side: int
    clips: int
    scored: int
    length: int


def read_plan(path: Path, size: str, numbers: Sequence[int] = ()) -> Plan:
    """Read a list of ablations; raise InputError that names an invalid entry.

    Args:
        path: a TOML file such as ABLATIONS.
        size: name of one of its sizes.
        numbers: numbers of the tables to read; empty reads all.
    """
    try:
        content = tomllib.loads(read_text(path))
        sizes = content["size"]
        if size not in sizes:
            raise InputError(f"{path} has no size '{size}'; use {', '.join(sizes)}")
        chosen = sizes[size]
        base = change(RECIPES["sttn"], chosen["recipe"])
        tables = tuple(_read_table(table, base) for table in content["table"])
        plan = Plan(
            tables, *(int(chosen[key]) for key in ("short_side", "clips", "scored", "length"))
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no list of ablations: {error}; see {ABLATIONS}") from None
    missing = set(numbers) - {table.number for table in plan.tables}
    if missing:
        raise InputError(f"{path} has no table {min(missing)}")
    wanted = tuple(table for table in plan.tables if not numbers or table.number in numbers)
    return replace(plan, tables=wanted)


def _read_table(table: Mapping[str, Any], base: Recipe) -> Table:
    rows = []
    for entry in table["rows"]:
        changes = dict(entry)
        name, step = changes.pop("name"), changes.pop("reference_step", REFERENCE_STEP)
        rows.append(Row(name, change(base, changes), int(step)))
    return Table(int(table["number"]), table["title"], tuple(rows))


def change(config: Config, changes: Mapping[str, Any]) -> Config:
    """Change some values of a config, also in its parts; False removes the adversary.

    Raises ValueError for an unknown name or an invalid value.
    """
    known = {field.name for field in fields(config)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"a {type(config).__name__} has no '{name}'")
        part = getattr(config, name)
        if isinstance(value, Mapping):
            part = Adversary() if part is None and name == "adversary" else part
            if not is_dataclass(part):
                raise ValueError(f"'{name}' has no parts")
            values[name] = change(part, value)
        elif name == "adversary" and value is False:
            values[name] = None
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return replace(config, **values)  # type: ignore[type-var]


def ablate(
    plan: Plan, root: Path, run: Path, device: torch.device, progress: Progress | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Train and score all rows; reuse networks already trained in `run`.

    Args:
        plan: see `read_plan`.
        root: data set in one of the layouts of `cleanplate.research.data.clips`.
        run: folder for decoded clips and trained networks.
        device: device of the networks.
        progress: called with the number of rows done and in total.

    Returns:
        For each table's title its rows, with the means of METRICS over clips; also written to
        `run` as `ablations.json` and `ablations.md`.
    """
    train, kept = hold_out(_read_clips(plan, root, run), plan.scored)
    rows = [row for table in plan.tables for row in table.rows]
    scores: dict[tuple[str, int], dict[str, Any]] = {}
    for done, row in enumerate(rows):
        if progress is not None:
            progress(done, len(rows))
        if (row.folder, row.reference_step) not in scores:
            data = draw_from(train, [], row.recipe)
            network = main(row.recipe, run / row.folder, data, device).kept.eval()
            cases = _draw_cases(kept, row.recipe.sampling.size, plan.length)
            measured = score(network, cases, row.reference_step, device)
            size = sum(weight.numel() for weight in network.parameters())
            scores[row.folder, row.reference_step] = {"parameters": size, **measured}
    found = {
        f"Table {table.number}: {table.title}": [
            {"name": row.name, **scores[row.folder, row.reference_step]} for row in table.rows
        ]
        for table in plan.tables
    }
    (run / "ablations.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (run / "ablations.md").write_text(to_markdown(found), encoding="utf-8")
    return found


def _read_clips(plan: Plan, root: Path, run: Path) -> Sequence[Clip]:
    """Choose evenly spread clips of the data set and decode them once."""
    folder = run / f"clips-{plan.clips}-{plan.short_side}"
    if not is_cache(folder):
        found = open_clips(root)
        step = max(1, len(found) // plan.clips) if plan.clips else 1
        build_cache(found[::step][: plan.clips or None], folder, short_side=plan.short_side)
    clips = open_cache(folder)
    if len(clips) < 2:
        raise InputError(f"{root} has one clip; ablations train on some and score others")
    return clips


def _draw_cases(clips: Iterable[Clip], size: tuple[int, int], length: int) -> list[Sample]:
    """Draw a stationary and a moving hole for each clip."""
    cases = []
    for index, clip in enumerate(clips):
        times = range(min(length, len(clip)))
        frames = Crop(clip.read(times)).paint(size, "cpu").round().to(torch.uint8)
        pictures = frames.permute(0, 2, 3, 1).numpy()
        for moving in (False, True):
            rng = np.random.default_rng((11, index, moving))
            cases.append(
                Sample(pictures, synthetic.draw_free_form(size, times, rng, moving=moving))
            )
    return [case for case in cases if case.masks.any()]


def score(
    network: nn.Module, cases: Iterable[Sample], reference_step: int, device: torch.device
) -> dict[str, float]:
    """Average METRICS over cases."""
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for case in cases:
        made = fill(network, case, reference_step, device)
        metrics = [each for each in make_metrics(Conventions(), True) if each.name in METRICS]
        for frame, truth, mask in zip(made, case.frames, case.masks, strict=True):
            for metric in metrics:
                metric.add(frame, truth, mask)
        for metric in metrics:
            value = metric.result()
            if value is not None:
                values[metric.name].append(value)
    return {name: float(np.mean(found)) for name, found in values.items() if found}


@torch.inference_mode()
def fill(
    network: nn.Module, case: Sample, reference_step: int, device: torch.device
) -> npt.NDArray[np.uint8]:
    """Run the paper's inference with a reference frame every `reference_step`; composited uint8."""
    frames, masks = to_network(*stack([case], device))
    images = frames * (1 - masks)
    total, weight = torch.zeros_like(frames[0]), torch.zeros(len(case.frames), device=device)
    for window in schedule_windows(len(case.frames), reference_step=reference_step):
        chosen = list(window.frames)
        made = network(images[:, chosen], masks[:, chosen])[0]
        for frame, picture in zip(window.neighbours, made, strict=False):
            share = crossfade_weight(frame, window)
            total[frame] += share * picture
            weight[frame] += share
    levels = ((total / weight.view(-1, 1, 1, 1) + 1) * 127.5).round().clamp(0, 255)
    pixels = levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return np.where(case.masks[..., None], pixels, case.frames)


def to_markdown(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Format all tables as Markdown."""
    lines = []
    for title, rows in found.items():
        lines += [f"{title}", "", f"| | parameters | {' | '.join(METRICS)} |"]
        lines.append("|---" * (2 + len(METRICS)) + "|")
        for row in rows:
            numbers = [f"{row[name]:.4g}" if name in row else "" for name in METRICS]
            lines.append(f"| {row['name']} | {row['parameters']} | {' | '.join(numbers)} |")
        lines.append("")
    return "\n".join(lines)
