"""A cluster of two nodes on this machine, reachable from this machine only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cleanplate.batch import Ledger, plan_batch, run_batch
from cleanplate.batch.workers import RayWorkers
from cleanplate.errors import InputError
from cleanplate.removal import Span
from cleanplate.removal.preparation import estimate_memory
from cleanplate.types import Size

from .conftest import kill_at_work, queue, shown, shown_alone

ray_warnings = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    pytest.importorskip("ray", reason="needs the extra [cluster]")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    # On the loopback device; Ray would replace 127.0.0.1 by an address that others reach.
    node["node_ip_address"] = "127.0.0.2"
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.mark.slow
@ray_warnings
def test_two_nodes_do_a_batch_and_survive_a_killed_worker(address, make_job, tmp_path):
    clip = {"options": {"g": "20", "crf": "1"}, "movflags": "faststart"}
    jobs = [make_job(name, frames=60, clip=clip) for name in "abcd"]
    spoilt = Path(jobs[3].input)
    data = bytearray(spoilt.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    spoilt.write_bytes(data)
    killer = kill_at_work(tmp_path / "out", all_processes)
    seen: list[int] = []
    with Ledger(tmp_path / "journal") as journal:
        plan = plan_batch(jobs, journal)
        outcomes = run_batch(
            plan, RayWorkers(address), journal, progress=lambda done, total: seen.append(done)
        )
        killer.join()
        assert [outcome.state for outcome in outcomes] == ["done"] * 3 + ["failed"]
        assert sum(outcome.attempts for outcome in outcomes) == 5
        assert "damaged" in outcomes[3].error
        assert plan_batch(jobs[:3], journal).kept == {0, 1, 2}
    assert seen[-1] == 240
    for job in jobs[:3]:
        assert shown(job.output) == shown_alone(job, tmp_path / "alone.mp4")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.mp4", "b.mp4", "c.mp4"
    ]  # fmt: skip


@pytest.mark.slow
@ray_warnings
def test_two_nodes_fill_the_parts_of_one_video(address, make_job, tmp_path):
    span = estimate_memory(Size(64, 48), Span(4, 1))
    job = make_job(frames=100, max_memory=span, lossless=False)
    twin = replace(job, output=str(tmp_path / "twin.mp4"))
    with Ledger(tmp_path / "journal") as journal:
        (alone,) = run_batch(plan_batch([twin], journal), RayWorkers(address), journal)
        (outcome,) = run_batch(plan_batch([job], journal), RayWorkers(address), journal, split=50)
    assert (alone.state, outcome.state, outcome.parts) == ("done", "done", 2)
    assert "flow" not in outcome.report["stages"]
    assert Path(job.output).read_bytes() == Path(twin.output).read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


@pytest.mark.slow
@ray_warnings
def test_leaving_early_ends_the_tasks(address, make_job, tmp_path):
    jobs = [make_job(name, frames=1000) for name in "ab"]
    out = tmp_path / "out"
    events = RayWorkers(address).run(queue(jobs))
    next(events)
    assert list(out.iterdir()) != []
    events.close()
    assert list(out.iterdir()) == []


def test_no_cluster_is_started_here():
    with pytest.raises(InputError, match="address of a running cluster"):
        RayWorkers("local")


@ray_warnings
def test_a_cluster_that_is_not_there(make_job):
    pytest.importorskip("ray", reason="needs the extra [cluster]")
    with pytest.raises(InputError, match="no Ray cluster can be reached at"):
        next(RayWorkers("127.0.0.1:1").run(queue([make_job()])))


def test_a_missing_ray_is_named(make_job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray; install cleanplate\[cluster\]"):
        next(RayWorkers("127.0.0.1:1").run(queue([make_job()])))


def all_processes() -> set[int]:
    return {int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()}
