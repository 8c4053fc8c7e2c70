"""Messages that carry what hostile files are called."""

from __future__ import annotations

import pickle

from cleanplate.errors import CleanplateError, VideoError


def test_a_message_is_one_line_and_steers_no_terminal() -> None:
    name = "a\nb\x1b[2J\u202e\udc80 é.mp4"
    assert str(VideoError(f"'{name}' is bad")) == "'a b\ufffd[2J\ufffd\ufffd é.mp4' is bad"


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(CleanplateError("it failed")))
    assert (type(error), str(error)) == (CleanplateError, "it failed")
