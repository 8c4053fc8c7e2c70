"""Work in threads: in order, with the caller's handling of floating-point errors."""

import numpy as np
import pytest

from cleanplate.motion.propagation import spread_over


def _divide(value: np.float32) -> np.float32:
    return np.float32(1) / value


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_raise_what_the_caller_raises(threads: int) -> None:
    zeros = [np.float32(0)] * 4
    with (
        np.errstate(all="raise"),
        spread_over(threads) as spread,
        pytest.raises(FloatingPointError),
    ):
        list(spread(_divide, zeros))
    with np.errstate(all="ignore"), spread_over(threads) as spread:
        assert list(spread(_divide, zeros)) == [np.inf] * 4
