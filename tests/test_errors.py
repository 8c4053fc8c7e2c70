"""Messages that carry what hostile files are called."""

from __future__ import annotations

import pickle

import pytest

from cleanplate.errors import CleanplateError, VideoError, name_count


def test_a_message_is_one_line_and_steers_no_terminal() -> None:
    name = "a\nb\x1b[2J\u202e\udc80 é.mp4"
    assert str(VideoError(f"'{name}' is bad")) == "'a b\ufffd[2J\ufffd\ufffd é.mp4' is bad"


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(CleanplateError("it failed")))
    assert (type(error), str(error)) == (CleanplateError, "it failed")


def test_a_message_is_of_bounded_length_and_keeps_its_ends() -> None:
    path = "/begin/" + "x" * 5000 + "/end.mp4"
    text = str(VideoError(f"'{path}' and '{path}' differ; rename one"))
    assert text.startswith("'/begin/xxx")
    assert text.endswith("xxx/end.mp4' differ; rename one")
    assert text.count("/end.mp4' ") == 2
    assert len(text) < 1000
    text = str(VideoError("it is " + "x" * 8_000_000 + "; write it again"))
    assert len(text) <= 1500
    assert text.startswith("it is xxx")
    assert text.endswith("xxx; write it again")
    assert str(VideoError(text)) == text, "a copy of a message is the same"
    usual = f"'{'/folder' * 50}' is bad; " + "use another " * 20
    assert str(VideoError(usual)) == usual


@pytest.mark.parametrize(("count", "said"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs")])
def test_one_is_no_plural(count: int, said: str) -> None:
    assert name_count(count, "job") == said
