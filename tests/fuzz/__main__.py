"""Try many spoilt inputs: `python -m tests.fuzz --count 2400 --folder FOLDER`.

Results are a line each in FOLDER/results-VERSION.jsonl; what stands there already is not tried
again, so that a stopped run goes on. VERSION changes with the code. Exit code 1 when anything was
not done or refused in words.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .pool import ROOT, Case, Result, from_line, running, to_line

SURFACES = (
    "video", "images", "mask", "boxes", "checkpoint", "jobs", "journal", "requests", "commands",
    "paths", "kinds", "arguments", "buffers", "callbacks", "batches",
)  # fmt: skip
COSTLY = {"buffers": 4, "callbacks": 10}
"""Surfaces of which one case in so many is tried when all are: each takes several runs."""


def main() -> int:
    """Parse, run, print a table."""
    options = _parse()
    with tempfile.TemporaryDirectory(prefix="cleanplate-fuzz-") as made:
        folder = options.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        results = _run(options, folder)
    _print_table(results)
    return int(not all(result.is_good for result in results))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--surface", action="append", choices=SURFACES, help="default: all")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument(
        "--count",
        type=int,
        default=100,
        metavar="N",
        help="of each surface; some costly ones take fewer when all are tried",
    )
    parser.add_argument("--children", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--folder", type=Path, help="keep originals and results here")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the inputs here")
    return parser.parse_args()


def _run(options: argparse.Namespace, folder: Path) -> list[Result]:
    wanted = [
        Case(surface, seed)
        for seed in range(options.first, options.first + options.count)
        for surface in options.surface or SURFACES
        if options.surface or seed % COSTLY.get(surface, 1) == 0
    ]
    path = folder / f"results-{_identify_code()}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    known = {result.case: result for result in map(from_line, lines)}
    results = [known[case] for case in wanted if case in known]
    rest = [case for case in wanted if case not in known]
    shown = time.monotonic()
    with path.open("a") as log, running(rest, folder, options.children, options.keep) as take:
        while (result := take()) is not None:
            results.append(result)
            print(to_line(result), file=log, flush=True)
            if not result.is_good:
                print(f"{result.case}: {result.verdict}\n{result.detail}\n", flush=True)
            if time.monotonic() - shown > 60:
                shown = time.monotonic()
                print(f"{len(results)} of {len(wanted)}", flush=True)
    return results


def _identify_code() -> str:
    """Some digits that change with the program or the fuzzer."""
    digest = hashlib.sha256()
    for folder in (ROOT / "src", ROOT / "tests" / "fuzz"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _print_table(results: Iterable[Result]) -> None:
    results = list(results)
    verdicts = ("done", "refused", "traceback", "crash", "hang", "memory", "escape")
    print("| surface | cases |", " | ".join(verdicts), "| slowest | most memory |")
    print("|---|" + "---|" * (len(verdicts) + 3))
    for surface in [*SURFACES, "all"]:
        mine = [one for one in results if surface in (one.case.surface, "all")]
        if not mine:
            continue
        counts = Counter(one.verdict for one in mine)
        cells = [str(counts[verdict]) for verdict in verdicts]
        slowest = f"{max(one.seconds for one in mine):.1f} s"
        most = f"{max(one.taken for one in mine) >> 20} MiB"
        print("|", " | ".join([surface, str(len(mine)), *cells, slowest, most]), "|")


if __name__ == "__main__":
    sys.exit(main())
