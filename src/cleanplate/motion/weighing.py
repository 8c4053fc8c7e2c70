"""Compiled loops that weigh candidates against each other. See `compiling`.

Import this module where a kernel is first needed. `tests/motion/test_kernels.py` compares each
kernel with plain NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.motion.compiling import compile_loop

Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]


@compile_loop
def agree(colours: Field, prior: Field, consensus: Any, rounds: int) -> tuple[Field, Field]:
    """See `candidates.agree`; of colours (n, k, 3)."""
    count, pixels, _ = colours.shape
    mean, weight = np.empty((pixels, 3), np.float32), np.empty((count, pixels), np.float32)
    one, three, least = np.float32(1), np.float32(3), np.float32(1e-30)
    for i in range(pixels):
        for n in range(count):
            weight[n, i] = prior[n, i]
        for turn in range(rounds + 1):
            total = np.float32(0)
            for n in range(count):
                total += weight[n, i]
            total = max(total, least)
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for n in range(count):
                share = weight[n, i] / total
                red += colours[n, i, 0] * share
                green += colours[n, i, 1] * share
                blue += colours[n, i, 2] * share
            if turn == rounds:
                break
            for n in range(count):
                by_red = colours[n, i, 0] - red
                by_green = colours[n, i, 1] - green
                by_blue = colours[n, i, 2] - blue
                far = (by_red * by_red + by_green * by_green + by_blue * by_blue) / three
                weight[n, i] = prior[n, i] / (one + far / consensus)
        mean[i, 0], mean[i, 1], mean[i, 2] = red, green, blue
    return mean, weight


@compile_loop
def match_light(
    part: Mask, colours: Field, forward: Field, backward: Field, found: Mask, matched: Field
) -> Field:
    """Correct the light of two traces, and compare them where both found a source.

    `part` (h, w): the hole, of k pixels; `colours` (2, k, 3); `forward`, `backward` (h', w', 4):
    step and offset of each trace, where `part` lies in the corner; `found` (2, k). The corrected
    colours go to `matched` (2, k, 3). Returns (h, w, 2): squared difference, 1 where compared.
    """
    height, width = part.shape
    apart = np.zeros((height, width, 2), np.float32)
    three = np.float32(3)
    i = 0
    for row in range(height):
        for column in range(width):
            if not part[row, column]:
                continue
            square = np.float32(0)
            for channel in range(3):
                ahead = colours[0, i, channel] + forward[row, column, channel + 1]
                behind = colours[1, i, channel] + backward[row, column, channel + 1]
                matched[0, i, channel], matched[1, i, channel] = ahead, behind
                square += (ahead - behind) * (ahead - behind)
            if found[0, i] and found[1, i]:
                apart[row, column, 0], apart[row, column, 1] = square / three, np.float32(1)
            i += 1
    return apart


@compile_loop
def expect_error(
    part: Mask,
    apart: Field,
    forward: Field,
    backward: Field,
    found: Mask,
    age: Field,
    doubt: Field,
    variety: Field,
    rule: Field,
    error: Field,
) -> None:
    """Expected squared error (2, k) of two traces, infinite where nothing was found.

    `apart` (h, w, 2) as from `match_light`, blurred; `age`, `doubt` (2, k); `rule` (9,) as in
    `candidates.list_constants`; the others as there.
    """
    height, width = part.shape
    by_age, by_doubt, most, noise = rule[0], rule[1], rule[2], rule[3]
    by_disagreement, alone, by_seam, reach, fade = rule[4], rule[5], rule[6], rule[7], rule[8]
    one, infinite = np.float32(1), np.float32(np.inf)
    i = 0
    for row in range(height):
        for column in range(width):
            if not part[row, column]:
                continue
            both = found[0, i] and found[1, i]
            gap = apart[row, column, 0] / max(apart[row, column, 1], np.float32(1e-4))
            for way in range(2):
                if not found[way, i]:
                    error[way, i] = infinite
                    continue
                risk = by_age * age[way, i] + by_doubt * doubt[way, i]
                total = variety[i] * min(risk, most) + noise
                if both:
                    total += by_disagreement * gap
                else:
                    total += alone * age[way, i] * variety[i]
                step = backward[row, column, 0] if way else forward[row, column, 0]
                total += by_seam * step
                if reach < infinite:
                    left = (reach - age[way, i]) / fade
                    left = min(max(left, np.float32(1e-3)), one)
                    total = total / (left * left)
                error[way, i] = total
            i += 1
