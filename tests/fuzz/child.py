"""A process that tries one case after the other: `python -m tests.fuzz.child ROOT MEBIBYTES`.

It reads a case a line from stdin and writes its verdict, a line each, to stdout, all of it JSON.
What ends it ends no other case: the pool starts another one.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

from .watch import Ledger, forget_peak, give_up_rights, limit_memory, list_files, peak


def main() -> None:
    """Try cases until stdin ends."""
    faulthandler.enable()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes with the errors
    bench = _Bench(Path(sys.argv[1]), int(sys.argv[2]) << 20)
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        replies.write(json.dumps(bench.attempt(**json.loads(line))) + "\n")
        replies.flush()


class _Bench:
    """Folders of this process and a ledger of what happens outside them."""

    def __init__(self, root: Path, memory: int) -> None:
        import torch

        from .arguments import make_arguments, run_arguments
        from .batches import make_batches, run_batches
        from .buffers import make_buffers, run_buffers
        from .callbacks import make_callbacks, run_callbacks
        from .commands import make_commands, run_commands
        from .faults import FAULTS, make_nothing
        from .kinds import make_kinds, run_kinds
        from .paths import make_paths, run_paths
        from .requests import make_requests, run_requests
        from .surfaces import SURFACES, Place

        torch.set_num_threads(1)
        self._place = Place
        self._surfaces = {
            **SURFACES,
            "requests": (make_requests, run_requests),
            "commands": (make_commands, run_commands),
            "paths": (make_paths, run_paths),
            "kinds": (make_kinds, run_kinds),
            "arguments": (make_arguments, run_arguments),
            "buffers": (make_buffers, run_buffers),
            "callbacks": (make_callbacks, run_callbacks),
            "batches": (make_batches, run_batches),
            **{name: (make_nothing, run) for name, run in FAULTS.items()},
        }
        self._root, self._memory = root, memory
        # Nothing may appear in these: the environment names them as HOME and TMPDIR.
        self._watched = [Path(os.environ["HOME"]), Path(os.environ["TMPDIR"]), Path.cwd()]
        limit_memory()
        give_up_rights()
        self._ledger = Ledger(root)

    def attempt(self, surface: str, seed: int, keep: str | None = None) -> dict[str, Any]:
        """Make a case's input, do what people would with it, and judge."""
        place = self._place(self._root.parent / "originals", self._root / "given", self._root / "o")
        for folder in (place.given, place.out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        make, run = self._surfaces[surface]
        plan = make(place, Random(f"{surface} {seed}"))
        if keep is not None:
            _keep(place.given, plan, Path(keep) / f"{surface}-{seed}")
            self._ledger.escapes.clear()
        given = list_files(place.given)
        before, began = forget_peak(), time.process_time()
        verdict, detail = _call(run, place, plan)
        taken = peak() - before
        if verdict in ("done", "refused"):
            verdict, detail = self._look_round(place, given, verdict, detail)
        if verdict in ("done", "refused") and taken > self._memory:
            verdict, detail = "memory", f"{taken >> 20} MiB; {detail}"
        self._ledger.escapes.clear()
        seconds = time.process_time() - began
        return {"verdict": verdict, "detail": detail, "seconds": round(seconds, 3), "taken": taken}

    def _look_round(
        self, place: Any, given: dict[str, tuple[int, int]], verdict: str, detail: str
    ) -> tuple[str, str]:
        """Judge what lies about after the case."""
        if self._ledger.escapes:
            return "escape", self._ledger.escapes[0]
        if list_files(place.given) != given:
            return "escape", "an input was changed"
        left = [path for folder in self._watched for path in folder.iterdir()]
        if verdict == "refused":
            left += list(place.out.iterdir())
        for path in left:  # or each later case would be blamed
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return ("escape", f"left behind: {left[0]}") if left else (verdict, detail)


def _call(run: Any, place: Any, plan: dict[str, Any]) -> tuple[str, str]:
    from cleanplate.errors import CleanplateError

    try:
        run(place, plan)
    except CleanplateError as error:
        message = str(error)
        if not message.isprintable() or not message:
            return "traceback", f"a message of several lines or none: {message!r}"
        return "refused", message[:300]
    except MemoryError:
        return "memory", traceback.format_exc(limit=-6)
    except BaseException:
        return "traceback", traceback.format_exc(limit=-8)
    return "done", ""


def _keep(given: Path, plan: dict[str, Any], folder: Path) -> None:
    shutil.copytree(given, folder, dirs_exist_ok=True)
    (folder / "plan.txt").write_text(repr(plan))


if __name__ == "__main__":
    main()
