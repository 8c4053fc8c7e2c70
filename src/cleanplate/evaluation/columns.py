"""How metrics are shown: their names for people, units, decimals, and which way is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Column:
    """One metric in a table."""

    title: str
    unit: str
    decimals: int
    goal: Literal["high", "low", "zero"]
    explanation: str

    def show(self, value: float | None) -> str:
        """The value as a table has it."""
        return "–" if value is None else f"{value:.{self.decimals}f}"

    def rank(self, value: float) -> float:
        """The better a value, the higher its rank."""
        if self.goal == "zero":
            return -abs(value)
        return value if self.goal == "high" else -value

    def best(self, values: Iterable[float | None]) -> float | None:
        """The best of `values`, None if there is none."""
        return max((value for value in values if value is not None), key=self.rank, default=None)


_COLUMNS = {
    "psnr": Column(
        "PSNR", "dB", 2, "high", "mean over frames with a hole, range 255, equal ones count as 100"
    ),
    "ssim": Column("SSIM", "%", 2, "high", "uniform window of 65x65, as in the field's papers"),
    "hole_psnr": Column(
        "PSNR in hole", "dB", 2, "high", "pixels inside holes only, all frames pooled"
    ),
    "ssim_gaussian": Column("SSIM Gauss", "%", 2, "high", "Gaussian window, as SSIM was defined"),
    "e_warp": Column("E_warp", "%", 4, "low", "flow warping error between frames"),
    "flicker": Column("flicker", "levels", 2, "zero", "change inside holes beyond the real one"),
    "vfid": Column("VFID", "", 3, "low", "I3D features by the field's convention, all sequences"),
    "vfid_eval": Column("VFID eval", "", 3, "low", "the same with the network in eval mode"),
    "lpips": Column("LPIPS", "", 4, "low", "learned perceptual distance"),
}
_LEADING = ("hole_psnr", "e_warp", "flicker", "psnr")


def find_column(name: str) -> Column:
    """How the metric `name` is shown."""
    return _COLUMNS.get(name) or Column(name, "", 4, "high", "")


def choose_leading(names: Iterable[str]) -> str | None:
    """The metric that best and worst cases and curves are of, among `names`."""
    there = set(names)
    return next((name for name in _LEADING if name in there), None)
