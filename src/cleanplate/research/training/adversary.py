"""The temporal patch discriminator T-PatchGAN and its training step (STTN, Section 3.3)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cleanplate.research.training.config import Adversary, Recipe
from cleanplate.research.training.losses import judge_made, judge_real, persuade
from cleanplate.research.training.objective import world

_KERNEL = (3, 5, 5)
_STRIDE = (1, 2, 2)
_EPSILON = 1e-12


class SpectralConv3d(nn.Module):
    """A 3-D convolution without bias whose weight has a spectral norm of about 1.

    The norm comes from power iteration (Miyato et al., ICLR 2018): one step in every forward pass
    in train mode, none in eval mode.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, padding: tuple[int, int, int]) -> None:
        super().__init__()
        self.padding = padding
        weight = torch.empty(outputs, inputs, *_KERNEL)
        nn.init.kaiming_uniform_(weight, a=5**0.5)
        self.weight_orig = nn.Parameter(weight)
        self.register_buffer("weight_u", _unit(torch.randn(outputs)))
        self.register_buffer("weight_v", _unit(torch.randn(weight[0].numel())))

    def forward(self, clip: Tensor) -> Tensor:
        """Map `(b, inputs, t, h, w)` to `(b, outputs, t, h / 2, w / 2)`."""
        weight = self.weight_orig / self._spectral_norm()
        return F.conv3d(clip, weight, stride=_STRIDE, padding=self.padding)

    def _spectral_norm(self) -> Tensor:
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(_unit(matrix.t() @ self.weight_u))
                self.weight_u.copy_(_unit(matrix @ self.weight_v))
        # Copies, for the next forward pass changes the buffers before this one's backward pass.
        return self.weight_u.clone() @ (matrix @ self.weight_v.clone())


class Discriminator(nn.Module):
    """Judge every place and time of a clip: real or made.

    Args:
        width: channels of the first layer; the paper's is 64.
        mix_clips: True convolves all clips of a batch as one long video, as the released code does
            on one GPU; False keeps clips apart.
    """

    def __init__(self, width: int = 64, *, mix_clips: bool = False) -> None:
        super().__init__()
        self.mix_clips = mix_clips
        channels = [3, width, 2 * width, 4 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(channels)):
            # The first layer's smaller padding is the released network's.
            padding = (1, 2, 2) if index else (1, 1, 1)
            layers += [SpectralConv3d(inputs, outputs, padding), nn.LeakyReLU(0.2, inplace=True)]
        last = nn.Conv3d(4 * width, 4 * width, _KERNEL, stride=_STRIDE, padding=(1, 2, 2))
        self.conv = nn.Sequential(*layers, last)

    def forward(self, frames: Tensor) -> Tensor:
        """Score frames `(b, t, 3, h, w)` in [-1, 1]: higher is more real.

        Returns `(b, t, 4 * width, h / 64, w / 64)`, sides rounded up; with `mix_clips`
        `(1, b * t, …)`.
        """
        if self.mix_clips:
            frames = rearrange(frames, "b t c h w -> 1 (b t) c h w")
        scores: Tensor = self.conv(rearrange(frames, "b t c h w -> b c t h w"))
        return rearrange(scores, "b c t h w -> b t c h w")


def _unit(vector: Tensor) -> Tensor:
    return F.normalize(vector, dim=0, eps=_EPSILON)


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
