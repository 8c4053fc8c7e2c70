"""One of several processes that train the toy network: `share.py RUN BATCH ADVERSARY(0|1)`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from toy import TINY, draw, draw_still

from cleanplate.research.training import Adversary, Recipe, join_processes, main
from cleanplate.research.training.feed import Data

if __name__ == "__main__":
    folder, batch, adversary = sys.argv[1:]
    torch.set_num_threads(1)
    join_processes()
    recipe = Recipe(
        network=TINY,
        batch=int(batch),
        still_batch=2,
        steps=3,
        rate=2e-3,
        warm_up=2,
        epsilon=0.1,  # Adam would make steps of its rate from differences in rounding
        adversary=Adversary(width=2) if int(adversary) else None,
    )
    main(recipe, Path(folder), Data(draw, draw_still), torch.device("cpu"))
