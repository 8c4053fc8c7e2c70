"""What processes share and do not share: threads after a fork, OpenCV's number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cleanplate import inpaint, machine
from cleanplate.errors import InputError
from cleanplate.machine import choose_device
from cleanplate.motion import propagation as parallel

from .patience import PATIENCE

_FORKING = """
import multiprocessing, sys, time
import cv2, numpy as np

cv2.setNumThreads(4)
rng = np.random.default_rng(0)
frames = rng.integers(0, 256, (5, 64, 96, 3), np.uint8)
masks = np.zeros(frames.shape[:3], np.bool_)
masks[:, 20:40, 30:60] = True


def fill(method, model="default"):
    from cleanplate import inpaint

    return inpaint(frames, masks, method=method, model=model)


def run_forked(work):
    context = multiprocessing.get_context("fork")
    results, own = context.Pipe(duplex=False)
    child = context.Process(target=lambda: own.send(work()), daemon=True)
    child.start()
    own.close()
    if not results.poll({patience}):
        child.kill()
        sys.exit("the forked child hangs")
    return results.recv()
"""


def fork(script: str) -> str:
    """Run `script` in a process of its own, which forks with `run_forked`; what it logged."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKING.replace("{patience}", str(PATIENCE)) + script],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_forked_child_fills_after_its_parent_did() -> None:
    fork("""
cv2.GaussianBlur(np.zeros((999, 999), np.uint8), (31, 31), 5)  # starts OpenCV's threads
expected = fill("flow")
time.sleep(0.5)  # they sleep by then: only those that sleep are waited for
assert np.array_equal(run_forked(lambda: fill("flow")), expected)
""")


@pytest.mark.slow
@pytest.mark.parametrize("used_by", ["parent", "program"])
def test_a_network_works_in_a_forked_child(used_by: str) -> None:
    """Threads of torch in the parent, started by cleanplate or, before its import, by others."""
    use = {
        "parent": 'fill("network")',
        "program": "torch.ones(10_000_000).sqrt()",
    }
    said = fork(f"""
import torch

torch.set_num_threads(4)
{use[used_by]}


def compare():
    import cleanplate

    model = cleanplate.load_model("default")
    return fill("network"), fill("network", model), torch.get_num_threads()


by_name, loaded, threads = run_forked(compare)
assert threads == 1, threads
assert torch.get_num_threads() == 4
expected = fill("network")
assert np.array_equal(by_name, expected)
assert np.array_equal(loaded, expected)
""")
    assert said.count("forked") == 1
    assert '"spawn"' in said


@pytest.mark.slow
def test_a_child_that_loads_torch_itself_keeps_its_threads() -> None:
    said = fork("""
import cleanplate.machine


def work():
    import torch

    torch.set_num_threads(3)
    fill("network")
    return torch.get_num_threads()


assert run_forked(work) == 3
""")
    assert "forked" not in said


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_cuda_is_refused_after_a_fork(monkeypatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(InputError, match=r"forked .* \"spawn\" .* `device='cpu'`"):
        choose_device(device)
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(("forked", "expected"), [(False, 3), (True, 1)])
def test_torch_has_one_thread_after_a_fork_only(monkeypatch, forked: bool, expected: int) -> None:
    """Numbers and messages are kept here: what ran in this process before cannot matter."""
    threads, said = [3], []
    monkeypatch.setattr(machine, "_inherits_torch", forked)
    monkeypatch.setattr(machine._log, "warning", said.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    for _ in range(2):
        machine.adapt_to_fork()
    assert threads[-1] == expected
    assert len(said) == forked


def test_a_process_of_our_own_is_limited_to_its_processors(
    opencv_threads, torch_threads, monkeypatch
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setattr(parallel, "count_processors", lambda: 5)
    for asked, given in ((1, 1), (4, 4), (100_000, 5)):
        parallel.limit_threads(asked)
        assert cv2.getNumThreads() == torch.get_num_threads() == given
        assert os.environ["OMP_NUM_THREADS"] == str(given)


@pytest.fixture
def torch_threads():
    """Set torch's number of threads; the former one comes back."""
    usual = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(usual)


@pytest.fixture
def opencv_threads():
    """Set OpenCV's number of threads; the former one comes back."""
    usual = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(usual)


def test_runs_leave_the_threads_of_opencv_alone(opencv_threads, pan, monkeypatch) -> None:
    opencv_threads(3)
    frames = pan(frames=6)
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 20:40, 30:60] = True
    seen, together = set(), threading.Barrier(2, timeout=PATIENCE)
    asked: list[int] = []
    monkeypatch.setattr(cv2, "setNumThreads", asked.append)

    def run(made: list[np.ndarray]) -> None:
        def look(done: int, total: int | None) -> None:
            seen.add(cv2.getNumThreads())

        together.wait()
        made.append(inpaint(frames, masks, method="flow", threads=2, progress=look))

    made: list[np.ndarray] = []
    runs = [threading.Thread(target=run, args=(made,)) for _ in range(2)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert asked == []
    assert seen == {3}
    np.testing.assert_array_equal(*made)


def test_the_threads_of_opencv_change_no_result(opencv_threads, pan) -> None:
    frames = pan(frames=6)
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:, 20:40, 30:60] = True
    made = []
    for threads in (1, 4):
        opencv_threads(threads)
        made.append(inpaint(frames, masks, method="flow"))
        assert cv2.getNumThreads() == threads
    np.testing.assert_array_equal(*made)
