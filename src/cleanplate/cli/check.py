"""`cleanplate doctor` checks the installation; `cleanplate demo` tries it on a rendered clip."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cleanplate import __version__
from cleanplate.arguments import describe_bytes
from cleanplate.cli.options import (
    FilePath,
    json_option,
    overwrite_option,
    removal_options,
    show_progress,
)
from cleanplate.errors import CleanplateError, OutputError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_MODULES = {"opencv-python-headless": "cv2"}
"""Distributions whose module has another name."""

_FOR_DEVELOPERS = {"dev", "docs"}

_ENCODERS = {
    "libx264": "most videos",
    "libx264rgb": "RGB videos",
    "libvpx-vp9": ".webm, and 8-bit videos of odd size",
    "ffv1": "16-bit videos, and 10-bit ones of odd size",
    "libx265": "HDR and 12-bit videos",
    "libsvtav1": "AV1",
    "prores_ks": "ProRes, and layers with alpha",
    "dnxhd": "DNxHR",
}

_OTHER_OPENCVS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Wheels that put their files where those of opencv-python-headless lie."""

_LITTLE_MEMORY = 2 * 10**9
_LITTLE_DISK = 10**9


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        name: what it is, such as `torch`.
        state: `good`; `lacking`: cleanplate works, but something will not; `wrong`: it does not.
        says: what was found.
        remedy: what to do about it; empty when it is good.
    """

    name: str
    state: Literal["good", "lacking", "wrong"]
    says: str
    remedy: str = ""


@click.command(short_help="Check this installation.")
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check this installation; the exit code is 1 when something needed does not work."""
    findings = list(examine())
    works = all(one.state != "wrong" for one in findings)
    if as_json:
        found = [asdict(one) for one in findings]
        report = {"version": __version__, "works": works, "findings": found}
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo("\n".join(_describe(findings, works)))
    context.exit(0 if works else 1)


def examine() -> Iterator[Finding]:
    """Run all checks in the order in which to fix problems; never raises."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _check_python,
        _check_packages,
        _check_opencv,
        _check_torch,
        _check_weights,
        _check_encoders,
        _check_extras,
        _check_memory,
        _check_folders,
    ]
    for check in checks:
        try:
            yield from check()
        # One broken part must not hide what is wrong with the others.
        except Exception as error:
            name = check.__name__.removeprefix("_check_")
            yield Finding(name, "wrong", _first_line(error), _find_remedy(error))


def _check_python() -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(metadata.metadata("cleanplate")["Requires-Python"] or "")
    version = platform.python_version()
    if wanted.contains(version, prereleases=True):
        yield Finding("python", "good", f"{version} on {platform.platform(terse=True)}")
    else:
        remedy = f"make an environment with Python {wanted}"
        yield Finding("python", "wrong", f"{version} is not {wanted}", remedy)


def _check_packages() -> Iterator[Finding]:
    """Check that each required package is installed, new enough, and can be imported."""
    for needed in _requirements():
        version = _installed(needed.name)
        remedy = f"pip install '{needed.name}{needed.specifier}'"
        if version is None:
            yield Finding(needed.name, "wrong", "is not installed", remedy)
        elif not needed.specifier.contains(version, prereleases=True):
            says = f"{version} is not {needed.specifier}"
            yield Finding(needed.name, "wrong", says, remedy)
        else:
            try:
                import_module(_MODULES.get(needed.name, needed.name))
            except Exception as error:  # a missing library of the system can raise anything
                remedy = f"pip install --force-reinstall '{needed.name}=={version}'"
                says = f"{version} does not load: {_first_line(error)}"
                yield Finding(needed.name, "wrong", says, remedy)
            else:
                yield Finding(needed.name, "good", version)


def _check_opencv() -> Iterator[Finding]:
    """Check that only one OpenCV package is installed; a second overwrites files of the first."""
    others = [name for name in _OTHER_OPENCVS if _installed(name)]
    if others:
        both = " ".join(["opencv-python-headless", *others])
        says = f"{', '.join(others)} lies in the same files as opencv-python-headless"
        remedy = f"pip uninstall -y {both}, then pip install opencv-python-headless"
        yield Finding("opencv", "lacking", says, remedy)


def _check_torch() -> Iterator[Finding]:
    """Report torch's devices and number of threads."""
    import torch

    from cleanplate.machine import choose_device

    chosen = choose_device("auto")
    name = f" ({torch.cuda.get_device_name()})" if chosen == "cuda" else ""
    yield Finding("device", "good", f"--device auto takes {chosen}{name}")
    if chosen == "cpu" and torch.version.cuda:
        says = f"torch is built for CUDA {torch.version.cuda}, but finds no GPU"
        remedy = "check the driver with nvidia-smi, if there should be one"
        yield Finding("cuda", "lacking", says, remedy)
    yield Finding("threads", "good", f"{torch.get_num_threads()} of {os.cpu_count()} processors")


def _check_weights() -> Iterator[Finding]:
    """Verify the embedded networks: checksum, shapes, finite values."""
    from cleanplate.network import info, load
    from cleanplate.network.weights import load_tracking

    try:
        load("default")
        load_tracking()
    except CleanplateError as error:
        remedy = "install cleanplate once more, with pip's --force-reinstall --no-deps"
        yield Finding("weights", "wrong", str(error), remedy)
    else:
        found = info("default")
        says = f"{found.parameters:,} parameters, sha256 {found.checksum[:12]}…"
        yield Finding("weights", "good", says)


def _check_encoders() -> Iterator[Finding]:
    """Check PyAV's encoders; without H.264 most videos change their codec."""
    from cleanplate.video.encoding import has_encoder

    for name, use in _ENCODERS.items():
        if has_encoder(name):
            yield Finding(name, "good", f"writes {use}")
        else:
            remedy = "pip install --force-reinstall --only-binary av av"
            state: Literal["lacking", "wrong"] = "wrong" if name == "libx264" else "lacking"
            yield Finding(name, state, f"PyAV lacks this encoder for {use}", remedy)


def _check_extras() -> Iterator[Finding]:
    """List installed extras, and how to install the others."""
    everywhere = {str(one) for one in _requirements()}
    for extra in metadata.metadata("cleanplate").get_all("Provides-Extra") or []:
        if extra in _FOR_DEVELOPERS:
            continue
        needed = [one for one in _requirements(extra) if str(one) not in everywhere]
        missing = [one.name for one in needed if not _is_met(one)]
        if missing:
            remedy = f"pip install 'cleanplate[{extra}]', if you want it"
            says = f"{', '.join(missing)} not there, or too old"
            yield Finding(f"[{extra}]", "lacking", says, remedy)
        else:
            yield Finding(f"[{extra}]", "good", ", ".join(one.name for one in needed))


def _check_memory() -> Iterator[Finding]:
    """Report available memory (Linux only)."""
    table = Path("/proc/meminfo")
    if not table.exists():
        return
    rows = dict(line.split(":", 1) for line in table.read_text().splitlines())
    free = int(rows["MemAvailable"].split()[0]) * 1024
    remedy = "close other programs; a run takes 0.5 to 2.5 GB"
    yield _compare("memory", free, _LITTLE_MEMORY, remedy)


def _check_folders() -> Iterator[Finding]:
    """Check that temporary files can be written and have space; tracking and the page need them."""
    try:
        folder = Path(tempfile.gettempdir())
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"cleanplate")
    except OSError as error:
        remedy = "name a folder that you can write to in TMPDIR"
        yield Finding("temporary", "wrong", f"cannot be written: {_first_line(error)}", remedy)
        return
    wanted = os.environ.get("TMPDIR")
    if wanted and Path(wanted).absolute() != folder.absolute():
        says = f"TMPDIR is {wanted}, which cannot be written; {folder} is used"
        yield Finding("temporary", "lacking", says, "name a folder that you can write to in TMPDIR")
    for name, place in (("temporary", folder), ("here", Path.cwd())):
        free = shutil.disk_usage(place).free
        finding = _compare(name, free, _LITTLE_DISK, "make room there, or work in another folder")
        yield Finding(finding.name, finding.state, f"{finding.says} in {place}", finding.remedy)


def _compare(name: str, free: int, little: int, remedy: str) -> Finding:
    says = f"{describe_bytes(free)} free"
    return Finding(name, "good", says) if free >= little else Finding(name, "lacking", says, remedy)


def _requirements(extra: str = "") -> list[Requirement]:
    """Requirements of the package on this platform, with `extra` or without extras."""
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in metadata.requires("cleanplate") or []]
    return [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]


def _find_remedy(error: Exception) -> str:
    if isinstance(error, metadata.PackageNotFoundError):
        return "pip install -e . in the folder of the source, which is not installed"
    if isinstance(error, ModuleNotFoundError):
        return f"pip install {error.name}"
    return "fix the problems above first"


def _is_met(needed: Requirement) -> bool:
    version = _installed(needed.name)
    return version is not None and needed.specifier.contains(version, prereleases=True)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _describe(findings: list[Finding], works: bool) -> list[str]:
    """Print a line per check with its remedy, then a summary."""
    lines = [f"cleanplate {__version__}"]
    for one in findings:
        lines.append(f"{one.state:8} {one.name:22} {one.says}")
        if one.remedy:
            lines.append(f"{'':31} → {one.remedy}")
    last = "All that is needed works." if works else "Something needed does not work; see 'wrong'."
    return [*lines, last]


@click.command(short_help="Remove a ball from a rendered clip and compare with the ground truth.")
@click.argument("folder", default="demo", type=FilePath(path_type=Path))
@click.option(
    "--frames",
    type=click.IntRange(2, 2000),
    default=60,
    show_default=True,
    metavar="N",
    help="Number of frames of the rendered clip.",
)
@removal_options("method", "model", "device")
@overwrite_option("an earlier demo in FOLDER")
@json_option
def demo(folder: Path, frames: int, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Make a clip, remove the ball from it and show the result in FOLDER (default: demo)."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(f"{folder} is not empty; name another folder or give --overwrite")
    _check_demo(folder)
    from cleanplate.cli.showcase import run_demo

    with show_progress("demo") as progress:
        result = run_demo(folder, frames, progress=progress, **options)
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else "\n".join(result.summary()))


def _check_demo(folder: Path) -> None:
    """Raise OutputError when frames or masks in `folder` are not an earlier demo's."""
    parts = [folder / name for name in ("frames", "masks", "truth")]
    there = [part for part in parts if os.path.lexists(part)]
    linked = any(part.is_symlink() for part in there)
    if linked or (there and not parts[-1].is_dir()):
        raise OutputError(f"{there[0]} is not an earlier demo's; name another folder")
