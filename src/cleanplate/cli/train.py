"""`cleanplate train` and `cleanplate ablate`: train a network, run the ablations of the paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanplate.cli.options import FilePath, removal_option, show_progress
from cleanplate.errors import InputError, OutputError, tame

if TYPE_CHECKING:
    from cleanplate.research.training import DataPlan, Recipe


_FOLDER = FilePath(path_type=Path)


@click.command(short_help="Train a network, or resume training.")
@click.argument("run", type=_FOLDER)
@click.option(
    "--recipe",
    "name",
    type=click.Choice(["light-cpu", "light", "sttn"]),
    default="light",
    show_default=True,
    help="light: the embedded network; light-cpu: the same, for a CPU; sttn: the paper's network.",
)
@click.option(
    "--clips",
    type=_FOLDER,
    metavar="DATA",
    help="Data set: videos, or DAVIS, YouTube-VOS, STTN's zips.",
)
@click.option("--split", metavar="NAME", help="A split of the data set, such as train or val.")
@click.option("--photographs", type=_FOLDER, help="Folder of photographs, made into camera moves.")
@click.option("--cache", type=_FOLDER, help="Folder for decoded frames (default: RUN/cache).")
@click.option("--short-side", type=click.IntRange(32), default=240, show_default=True, metavar="N")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Length of the run in steps.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Length in minutes.")
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Clips per step, over all processes."
)
@click.option(
    "--carried",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Fraction of clips whose holes are first filled by propagation, as in --method auto.",
)
@click.option(
    "--pause-after",
    type=click.FloatRange(0, min_open=True),
    metavar="MINUTES",
    help="Stop after that time; the same command continues the run.",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@click.option("--start", metavar="NAME|FILE", help="Begin with these weights, such as 'default'.")
@click.option("--learn", metavar="PART,…", help="Train only these parts, such as mix,extend.")
@click.option(
    "--adversary/--no-adversary",
    default=None,
    help="Train against a discriminator in the last third. Default: as in the recipe.",
)
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=False,
    help="Compile the network with torch.compile.",
)
@removal_option("device")
@click.option("--check-data", is_flag=True, help="Read all data, list the problems, and stop.")
@click.option(
    "--preview",
    type=_FOLDER,
    metavar="PNG",
    help="Write a picture of samples with their masks, and stop.",
)
def train(
    run: Path,
    name: str,
    clips: Path | None,
    split: str | None,
    photographs: Path | None,
    cache: Path | None,
    short_side: int,
    steps: int | None,
    minutes: float | None,
    batch: int | None,
    carried: float | None,
    pause_after: float | None,
    rate: float | None,
    start: str | None,
    learn: str | None,
    adversary: bool | None,
    compiled: bool,
    device: str,
    check_data: bool,
    preview: Path | None,
) -> None:
    """Train in the folder RUN, or resume there; write RUN/weights.safetensors.

    With several processes: torchrun --nproc-per-node N -m cleanplate train RUN …
    """
    from cleanplate.research.training import DataPlan

    if clips is None and photographs is None:
        raise InputError("nothing to train on; give --clips, --photographs or both")
    plan = DataPlan(clips, photographs, cache or run / "cache", split, short_side)
    given = {"batch": batch, "rate": rate, "start": start, "learn": _list(learn)}
    recipe = _adapt(name, steps, minutes, adversary, {**given, "compile": compiled})
    if carried is not None:
        recipe = replace(recipe, sampling=replace(recipe.sampling, carried=carried))
    if check_data:
        _check(plan, recipe)
    elif preview is not None:
        _preview(plan, recipe, preview)
    else:
        _train(plan, recipe, run, device, pause_after)


def _adapt(
    name: str,
    steps: int | None,
    minutes: float | None,
    adversary: bool | None,
    given: dict[str, Any],
) -> Recipe:
    """The named recipe with the given changes; None keeps a value."""
    from cleanplate.research.training import RECIPES, Adversary

    if steps is not None and minutes is not None:
        raise InputError("--steps and --minutes exclude each other; give one")
    recipe = replace(
        RECIPES[name], **{field: value for field, value in given.items() if value is not None}
    )
    if adversary is not None:
        kept = recipe.adversary or Adversary(begin=2 / 3)
        recipe = replace(recipe, adversary=kept if adversary else None)
    if steps is not None or minutes is not None:
        recipe = replace(recipe, steps=steps, minutes=minutes)
    return recipe


def _list(names: str | None) -> tuple[str, ...] | None:
    return tuple(names.split(",")) if names else None


def _check(plan: DataPlan, recipe: Recipe) -> None:
    """Print all problems; raises InputError if there are any."""
    from cleanplate.research.data.cache import check_data

    sampling = recipe.sampling
    with show_progress("check", "clips") as progress:
        problems = check_data(
            plan.clips, plan.split, plan.photographs, sampling.frames, sampling.size, progress
        )
    for problem in problems:
        click.echo(tame(str(problem)))
    if problems:
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise InputError(f"{count} in the data; see the list above")
    click.echo("the data is good")


def _preview(plan: DataPlan, recipe: Recipe, path: Path) -> None:
    """Write a picture of eight samples."""
    from cleanplate.research.data.sampling import draw_overview
    from cleanplate.research.training import prepare
    from cleanplate.storage.atomic import build_file, find_place
    from cleanplate.storage.paths import check_places
    from cleanplate.video.images import write_png

    check_places([path], _list_read(plan, recipe))
    find_place(path, "a file", overwrite=False)
    draw = prepare(plan, recipe).clips
    overview = draw_overview([draw(number) for number in range(8)])
    try:
        with build_file(path, overwrite=False) as partial:
            write_png(partial, overview)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from None
    click.echo(tame(f"{path}: eight samples, holes in magenta"))


def _list_read(plan: DataPlan, recipe: Recipe) -> list[Path]:
    """Data and initial weights of a run."""
    start = Path(recipe.start) if recipe.start is not None else None
    return [path for path in (plan.clips, plan.photographs, start) if path is not None]


def _train(
    plan: DataPlan, recipe: Recipe, run: Path, device: str, pause_after: float | None
) -> None:
    """Train to the end of the recipe, or to a pause."""
    from cleanplate.machine import choose_device
    from cleanplate.research.training import join_processes, main, prepare
    from cleanplate.research.training.config import make_folder
    from cleanplate.storage.paths import check_places

    check_places([run / "weights.safetensors"], _list_read(plan, recipe))
    make_folder(run)
    where = join_processes(choose_device(device))
    with show_progress("decode", "clips") as progress:
        data = prepare(plan, recipe, progress)
    with show_progress("train", "samples") as progress:
        done = main(recipe, run, data, where, progress, pause_after)
    done_in = f"{done.step} steps, {done.seconds / 60:.1f} minutes"
    speed = f"{done.step * done.samples / max(done.seconds, 1e-6):.2f} samples a second"
    click.echo(tame(f"{run / 'weights.safetensors'}: {done_in}, {speed}"))


@click.command(short_help="Train and score the rows of the paper's ablations.")
@click.argument("run", type=FilePath(path_type=Path))
@click.option(
    "--clips",
    required=True,
    metavar="DATA",
    type=FilePath(path_type=Path),
    help="Data set: videos, or DAVIS, YouTube-VOS, STTN's zips.",
)
@click.option(
    "--size", default="tiny", show_default=True, help="tiny: minutes on a CPU; full: the paper's."
)
@click.option(
    "--table",
    "numbers",
    type=int,
    multiple=True,
    metavar="N",
    help="Only the paper's table N: 2 patch scales, 3 depth, 6 reference rate, 7 Equation 4,"
    " 8 losses. Can be repeated.",
)
@click.option(
    "--list",
    "path",
    type=FilePath(path_type=Path),
    metavar="TOML",
    help="Your own list of ablations.",
)
@removal_option("device")
def ablate(
    run: Path, clips: Path, size: str, numbers: tuple[int, ...], path: Path | None, device: str
) -> None:
    """Train and score each row of the paper's ablations in the folder RUN, or resume there."""
    import torch

    from cleanplate.machine import choose_device
    from cleanplate.research.training import ablation

    plan = ablation.read_plan(path or ablation.ABLATIONS, size, numbers)
    where = torch.device(choose_device(device))
    with show_progress("ablate") as progress:
        found = ablation.ablate(plan, clips, run, where, progress)
    click.echo(ablation.to_markdown(found))
