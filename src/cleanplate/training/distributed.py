"""Several processes that train one network: torchrun starts them, each has a share of a batch."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def join_processes(device: str = "cpu") -> torch.device:
    """Join the other processes when torchrun started this one; this process's own device."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    place = torch.device(device)
    if several and device == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if several and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return place


def local_rank() -> int:
    """This process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", rank()))


def rank() -> int:
    """This process's number; 0 writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def agree(value: float, device: torch.device) -> float:
    """The first process's value in all processes, so that all decide alike."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared.item())
