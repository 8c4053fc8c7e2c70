"""The discriminator's side of a step (T-PatchGAN, hinge loss; Zeng et al. 2020, section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cleanplate.model.discriminator import Discriminator
from cleanplate.model.losses import judge_made, judge_real, persuade
from cleanplate.training.config import Adversary, Recipe
from cleanplate.training.distributed import world


class Judge:
    """A discriminator with its optimizer."""

    def __init__(self, config: Adversary, recipe: Recipe, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 1)
            self.network = Discriminator(config.width, mix_clips=config.mix_clips).to(device)
        self.config = config
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            recipe.rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=0.0,
        )
        self._shared: nn.Module = self.network
        if world() > 1:
            # The buffers come from the weights alone, so they are equal in all processes.
            self._shared = DistributedDataParallel(self.network, broadcast_buffers=False)

    def learn(self, real: Tensor, made: Tensor) -> float:
        """One step of the discriminator on complete and made clips `(b, t, 3, h, w)`; its loss."""
        self.network.requires_grad_(True)
        # One pass for both, clips stay apart: DistributedDataParallel wants one forward a backward.
        if self.config.mix_clips:
            scores_real, scores_made = self._shared(real), self._shared(made.detach())
        else:
            scores_real, scores_made = self._shared(torch.cat([real, made.detach()])).chunk(2)
        loss = (judge_real(scores_real) + judge_made(scores_made)) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.item())

    def persuade(self, made: Tensor) -> Tensor:
        """The generator's weighted adversarial term on made clips."""
        self.network.requires_grad_(False)
        return self.config.weight * persuade(self.network(made))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
