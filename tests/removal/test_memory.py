from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanplate.arguments import parse_bytes
from cleanplate.errors import InputError
from cleanplate.removal.engine import Span
from cleanplate.removal.preparation import estimate_memory, fit_span
from cleanplate.types import Size

SIZES = [Size(216, 120), Size(1280, 720), Size(3840, 2160)]


@pytest.mark.parametrize("size", SIZES)
def test_without_a_limit_nothing_changes(size: Size) -> None:
    assert fit_span(size, None) == Span.for_size(size)
    assert fit_span(size, 10**12) == Span.for_size(size)


@given(limit=st.integers(10**8, 10**10), size=st.sampled_from(SIZES), network=st.booleans())
def test_a_span_keeps_to_the_limit_or_the_least_is_named(
    limit: int, size: Size, network: bool
) -> None:
    try:
        span = fit_span(size, limit, network=network)
    except InputError as error:
        least = parse_bytes(str(error).rsplit(" ", 1)[1])
        assert least > limit
        assert fit_span(size, least, network=network)
    else:
        assert estimate_memory(size, span, network=network) <= limit
        assert span.own <= Span.for_size(size).own


def test_a_span_grows_with_the_memory() -> None:
    spans = [fit_span(Size(1280, 720), limit * 10**8).own for limit in (12, 16, 22, 35)]
    assert spans == sorted(set(spans))
