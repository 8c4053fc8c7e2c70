"""Train on another machine that can be reached by files of limited size only.

    python -m cleanplate.research.elsewhere pack CORPUS --into parcels --limit 50    here
    python -m cleanplate.research.elsewhere unpack parcels/1                         there, each
    python -m cleanplate.research.elsewhere train RUN --minutes 8 -- --recipe light  there
    python -m cleanplate.research.elsewhere join sent --into results                 here

A corpus is a folder with `clips/`, `images/` or both. `train` can be repeated: it resumes the run
RUN from its checkpoint. The other machine needs Python, torch and this package's source; wheels
of other libraries may travel in the parcels. So this module imports the standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cleanplate.errors import CleanplateError, InputError
from cleanplate.storage.atomic import build_file

FOLDERS = ("clips", "images")
WHEELS = "wheels"
_MEGABYTE = 1_000_000
_PIECE = re.compile(r"(?P<name>.+)\.(?P<number>\d{3})")

Parcel = list[tuple[Path, Path]]
"""Files of a parcel: current path, and path inside the parcel."""


def pack(corpus: Path, into: Path, limit: int, wheels: Path | None = None) -> list[Path]:
    """Link the files of a corpus into folders `into/1`, `into/2`, … of at most `limit` bytes.

    Args:
        corpus: folder with `clips/`, `images/` or both; may have subfolders.
        into: new or empty folder for the parcels.
        limit: bytes per parcel.
        wheels: folder of wheels (*.whl) to add.

    Raises:
        InputError: there are no files, a file exceeds `limit`, or `into` is not empty.
    """
    if into.exists() and any(into.iterdir()):
        raise InputError(f"{into} is not empty; give a new folder")
    files = [(path, path.relative_to(corpus)) for path in _list_files(corpus)]
    if wheels is not None:
        files += [(path, Path(WHEELS) / path.name) for path in sorted(wheels.glob("*.whl"))]
    folders = []
    for number, parcel in enumerate(spread(files, limit), start=1):
        folders.append(into / str(number))
        for source, name in parcel:
            target = folders[-1] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)
    return folders


def spread(files: Parcel, limit: int) -> list[Parcel]:
    """Divide files into parcels of at most `limit` bytes: first fit, largest first.

    Raises InputError for a file that exceeds `limit`.
    """
    parcels: list[Parcel] = []
    sizes: list[int] = []
    for path, name in sorted(files, key=lambda pair: (-pair[0].stat().st_size, pair[1])):
        size = path.stat().st_size
        if size > limit:
            raise InputError(
                f"{path} has {size / _MEGABYTE:.1f} MB, more than a parcel of"
                f" {limit / _MEGABYTE:g} MB; raise the limit"
            )
        at = next((k for k, used in enumerate(sizes) if used + size <= limit), len(parcels))
        if at == len(parcels):
            parcels.append([])
            sizes.append(0)
        parcels[at].append((path, name))
        sizes[at] += size
    return parcels


def download_wheel(requirement: str, folder: Path, python: str) -> None:
    """Download a wheel for 64-bit Linux and that version of Python, without its dependencies."""
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    subprocess.run([*command, *platforms, "-d", str(folder), requirement], check=True)


def unpack(parcel: Path, work: Path) -> None:
    """Copy a parcel into the folder `work` and install its wheels into `work/site`."""
    if not parcel.is_dir():
        raise InputError(f"{parcel} is not a folder; give a parcel that `pack` made")
    shutil.copytree(parcel, work, dirs_exist_ok=True)
    wheels = sorted(map(str, (parcel / WHEELS).glob("*.whl")))
    if wheels:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*install, "--upgrade", "--target", str(work / "site"), *wheels], check=True)


def train(
    name: str, minutes: float, options: Sequence[str], work: Path, send: Path, piece: int, most: int
) -> list[Path]:
    """Train the run `work/runs/name` for some minutes, then copy its results to `send` in pieces.

    Args:
        name: name of the run; an existing one resumes from its checkpoint.
        minutes: length of this call. An option of `cleanplate train` sets that of the whole run.
        options: further options of `cleanplate train`.
        work: folder with the unpacked corpus.
        send: folder for the pieces of the log, the weights and the checkpoint.
        piece: maximum size of a piece in bytes.
        most: maximum size of a checkpoint to send, in bytes.

    Raises:
        InputError: training failed and printed its own message.
    """
    run = work / "runs" / name
    command = [sys.executable, "-m", "cleanplate", "train", str(run)]
    for option, folder in (("--clips", "clips"), ("--photographs", "images")):
        if (work / folder).is_dir():
            command += [option, str(work / folder)]
    command += ["--cache", str(work / "cache"), "--pause-after", str(minutes), *options]
    done = subprocess.run(command, env=_find_packages(work), check=False)
    if done.returncode:
        raise InputError(f"cleanplate train ended with status {done.returncode}; see above")
    results = [run / "log.jsonl", run / "weights.safetensors"]
    checkpoint = run / "last.pt"
    if checkpoint.stat().st_size <= most:
        results.append(checkpoint)
    sent = [split(path, send / f"{name}-{path.name}", piece) for path in results if path.exists()]
    return [path for pieces in sent for path in pieces]


def split(source: Path, target: Path, size: int) -> list[Path]:
    """Copy a file to `target.000`, `target.001`, … of at most `size` bytes, and its checksum.

    Pieces of an earlier call are removed, so that none of a longer file is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in target.parent.iterdir():
        match = _PIECE.fullmatch(path.name)
        if match and match["name"] == target.name:
            path.unlink()
    content = source.read_bytes()
    pieces = []
    for number, start in enumerate(range(0, len(content), size)):
        pieces.append(target.with_name(f"{target.name}.{number:03d}"))
        pieces[-1].write_bytes(content[start : start + size])
    checksum = target.with_name(f"{target.name}.sha256")
    checksum.write_text(hashlib.sha256(content).hexdigest() + "\n", encoding="ascii")
    return [*pieces, checksum]


def join(sent: Path, into: Path) -> list[Path]:
    """Join the pieces in `sent` to files in `into`; each must have its recorded checksum.

    Raises InputError if there are no pieces, or one is missing or damaged.
    """
    checksums = sorted(sent.glob("*.sha256"))
    if not checksums:
        raise InputError(f"{sent} holds no pieces; give the folder that `train` filled")
    into.mkdir(parents=True, exist_ok=True)
    files = []
    for checksum in checksums:
        pieces = sorted(sent.glob(f"{checksum.stem}.[0-9][0-9][0-9]"))
        content = b"".join(piece.read_bytes() for piece in pieces)
        if hashlib.sha256(content).hexdigest() != checksum.read_text(encoding="ascii").strip():
            raise InputError(
                f"{sent / checksum.stem}: a piece is missing or damaged; copy all of them again"
            )
        files.append(into / checksum.stem)
        with build_file(files[-1]) as partial:
            partial.write_bytes(content)
    return files


def _list_files(corpus: Path) -> list[Path]:
    found = [path for folder in FOLDERS for path in (corpus / folder).rglob("*") if path.is_file()]
    if not found:
        raise InputError(f"{corpus} has no files in clips/ or images/; give the corpus's folder")
    return sorted(found)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _find_packages(work: Path) -> dict[str, str]:
    """Make an environment with this package's source and the unpacked wheels on the path."""
    folders = [str(Path(__file__).parents[2]), str(work / "site")]
    folders += filter(None, [os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "PYTHONUNBUFFERED": "1"}


def _read_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cleanplate.research.elsewhere",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="divide a corpus into parcels of limited size")
    packing.add_argument("corpus", type=Path, help="folder with clips/, images/ or both")
    packing.add_argument("--into", type=Path, required=True, help="new folder for the parcels")
    packing.add_argument("--limit", type=float, default=50, help="MB per parcel (default: 50)")
    packing.add_argument("--wheel", action="append", default=[], help="package to add, as 'av==18'")
    packing.add_argument("--python", default="3.12", help="version of Python there (default: 3.12)")
    unpacking = commands.add_parser("unpack", help="unpack a parcel")
    unpacking.add_argument("parcel", type=Path, nargs="+")
    training = commands.add_parser(
        "train",
        help="train for some minutes, or resume",
        epilog="After `--` follow options of `cleanplate train`.",
    )
    training.add_argument("run", help="name of the run")
    training.add_argument("--minutes", type=float, required=True, help="length of this call")
    training.add_argument("--send", type=Path, default=Path("sent"), help="folder for the results")
    training.add_argument("--piece", type=float, default=15, help="MB per file (default: 15)")
    training.add_argument(
        "--checkpoint", type=float, default=45, help="largest checkpoint sent, MB (default: 45)"
    )
    for command in (unpacking, training):
        command.add_argument("--work", type=Path, default=Path("work"), help="folder to work in")
    joining = commands.add_parser("join", help="join the files that `train` sent")
    joining.add_argument("sent", type=Path)
    joining.add_argument("--into", type=Path, required=True, help="folder for the results")
    return parser


def _run(given: argparse.Namespace, options: Sequence[str]) -> list[Path]:
    """Run the chosen command; return the files or folders that it made.

    `options` are passed on to `cleanplate train`.
    """
    if given.command == "pack":
        wheels = given.into.with_name(f"{given.into.name}-{WHEELS}")
        for requirement in given.wheel:
            download_wheel(requirement, wheels, given.python)
        limit = int(given.limit * _MEGABYTE)
        return pack(given.corpus, given.into, limit, wheels if given.wheel else None)
    if given.command == "unpack":
        for parcel in given.parcel:
            unpack(parcel, given.work)
        return [given.work]
    if given.command == "train":
        sizes = int(given.piece * _MEGABYTE), int(given.checkpoint * _MEGABYTE)
        return train(given.run, given.minutes, options, given.work, given.send, *sizes)
    return join(given.sent, given.into)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and print its files with sizes; on errors print one line and exit with 1."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    # argparse would parse the options of `cleanplate train` as its own.
    end = given.index("--") if "--" in given else len(given)
    try:
        made = _run(_read_options().parse_args(given[:end]), given[end + 1 :])
    except (CleanplateError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    for path in made:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        print(f"{path}: {sum(file.stat().st_size for file in files) / _MEGABYTE:.1f} MB")


if __name__ == "__main__":
    main()
