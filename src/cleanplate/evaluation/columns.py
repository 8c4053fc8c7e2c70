"""How metrics are shown: their names for people, units, decimals, and which way is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One metric in a table."""

    title: str
    unit: str
    decimals: int
    higher_is_better: bool
    explanation: str

    def show(self, value: float | None) -> str:
        """The value as a table has it."""
        return "–" if value is None else f"{value:.{self.decimals}f}"

    def best(self, values: Iterable[float | None]) -> float | None:
        """The best of `values`, None if there is none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return max(known) if self.higher_is_better else min(known)


_COLUMNS = {
    "psnr": Column("PSNR", "dB", 2, True, "mean over frames with a hole, range 255"),
    "ssim": Column("SSIM", "%", 2, True, "uniform window of 65x65, as in the field's papers"),
    "hole_psnr": Column(
        "PSNR in hole", "dB", 2, True, "pixels inside holes only, all frames pooled"
    ),
    "ssim_gaussian": Column("SSIM Gauss", "%", 2, True, "Gaussian window, as SSIM was defined"),
    "e_warp": Column("E_warp", "%", 4, False, "flow warping error between frames"),
    "flicker": Column("flicker", "levels", 2, False, "change inside holes that motion leaves over"),
    "vfid": Column("VFID", "", 3, False, "I3D features by the field's convention, all sequences"),
    "vfid_eval": Column("VFID eval", "", 3, False, "the same with the network in eval mode"),
    "lpips": Column("LPIPS", "", 4, False, "learned perceptual distance"),
}
_LEADING = ("hole_psnr", "e_warp", "flicker", "psnr")


def find_column(name: str) -> Column:
    """How the metric `name` is shown."""
    return _COLUMNS.get(name) or Column(name, "", 4, True, "")


def choose_leading(names: Iterable[str]) -> str | None:
    """The metric that best and worst cases and curves are of, among `names`."""
    there = set(names)
    return next((name for name in _LEADING if name in there), None)
