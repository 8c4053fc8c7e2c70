from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from cleanplate.batch import Job, match_jobs, read_jobs
from cleanplate.batch.jobs import Problem, fingerprint, known_options
from cleanplate.errors import InputError
from cleanplate.masks.finding import Search, UnknownMask
from cleanplate.options import OPTION_TEXTS

GOOD = {"input": "a.mp4", "output": "b.mp4", "box": "1,2,3,4"}


def test_a_line_is_the_arguments_of_remove(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = {**GOOD, "mask": ["m.png"], "invert": True, "mask_threshold": 9, "crf": None}
    job = Job.from_fields({**fields, "dilate": 3, "method": "flow", "lossless": True})
    assert job == Job(
        input=str(tmp_path / "a.mp4"),
        output=str(tmp_path / "b.mp4"),
        mask=(str(tmp_path / "m.png"),),
        box=("1,2,3,4",),
        invert=True,
        mask_threshold=9,
        options={"dilate": 3, "method": "flow", "lossless": True, "crf": None},
    )


def test_all_options_of_remove_may_be_set_but_a_second_output():
    assert OPTION_TEXTS.keys() - known_options().keys() == {
        "mask_out", "plates_out", "patch", "truth_out", "threads", "resume", "journal"
    }  # fmt: skip


def test_a_field_given_twice_is_refused(tmp_path):
    (tmp_path / "jobs.jsonl").write_text('{"input": "a.mp4", "input": "b.mp4", "output": "c.mp4"}')
    jobs, problems = read_jobs(tmp_path / "jobs.jsonl")
    assert jobs == []
    assert "'input' is given twice" in str(problems[0])


def test_a_model_file_is_found_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m.pth").touch()
    assert Job.from_fields({**GOOD, "model": "m.pth"}).options["model"] == str(tmp_path / "m.pth")
    assert Job.from_fields({**GOOD, "model": "default"}).options["model"] == "default"
    assert Job.from_fields({**GOOD, "model": None}).options["model"] is None
    assert Job.from_fields({**GOOD, "model": None}).reads() == Job.from_fields(GOOD).reads()


def test_the_embedded_network_by_name_is_another_job():
    named, silent = Job.from_fields({**GOOD, "model": "default"}), Job.from_fields(GOOD)
    assert named.settings().model == "default"
    assert silent.settings().model is None
    assert fingerprint(named) != fingerprint(silent)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"output": None}, "output is missing"),
        ({"input": 3}, "input is missing; it must be a path"),
        ({"box": None}, "nothing to remove: give mask, box, track, text, logo or overlay"),
        ({"track": "1,2,3"}, "box '1,2,3' is not X,Y,W,H"),
        ({"logo": "yes"}, 'logo is "yes"; it must be true or false'),
        ({"region": "1,2,3,4"}, "region needs text"),
        ({"text": True, "keep_going": True}, "keep_going works with mask and box, not with track"),
        ({"box": [1, 2, 3, 4]}, "box is [1, 2, 3, 4]; it must be a text or a list of texts"),
        ({"invert": True}, "invert needs mask"),
        ({"dilat": 3}, "'dilat' is unknown; use input, output,"),
        ({"progress": 3}, "'progress' is unknown"),
        ({"dilate": "3"}, 'dilate is "3"; it must be a whole number'),
        ({"dilate": True}, "dilate is true; it must be a whole number"),
        ({"crf": 1.5}, "crf is 1.5; it must be a whole number or null"),
        ({"method": "best"}, 'method is "best"; it must be "auto" or "flow" or "network"'),
        ({"lossless": 1}, "lossless is 1; it must be true or false"),
    ],
)
def test_a_bad_field_is_named(changes, says):
    with pytest.raises(InputError) as caught:
        Job.from_fields({**GOOD, **changes})
    assert says in str(caught.value)


def test_all_bad_lines_are_named_and_good_ones_kept(tmp_path):
    path = tmp_path / "jobs.jsonl"
    lines = [json.dumps(GOOD), "", "{", "[1]", json.dumps({**GOOD, "output": ""})]
    path.write_text("\n".join(lines))
    jobs, problems = read_jobs(path, {"dilate": 7})
    assert [job.options for job in jobs] == [{"dilate": 7}]
    assert [problem.where for problem in problems] == [f"{path}, line {n}" for n in (3, 4, 5)]
    assert "it is no JSON:" in problems[0].what
    assert "it is no JSON object" in problems[1].what


def test_a_line_wins_over_the_defaults(tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps({**GOOD, "dilate": 1}))
    jobs, _ = read_jobs(path, {"dilate": 7, "feather": 2})
    assert jobs[0].options == {"dilate": 1, "feather": 2}


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_an_unreadable_list_is_refused(tmp_path, content):
    path = tmp_path / "jobs.jsonl"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_jobs(path)


def test_a_numbered_sequence_is_identified_by_its_folder(tmp_path):
    job = Job.from_fields({**GOOD, "input": str(tmp_path / "shot_%04d.png")})
    before = fingerprint(job)
    (tmp_path / "shot_0001.png").touch()
    assert fingerprint(job) != before


def test_a_pattern_gives_a_job_a_video(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.mp4", "a.mov", "deep/c.mp4"):
        (tmp_path / name).touch()
    fields = {"output": f"{tmp_path}/out/{{stem}}.mkv", "mask": "{folder}/masks/{name}.png"}
    jobs = match_jobs(f"{tmp_path}/**/*.m*", fields)
    assert [Path(job.input).name for job in jobs] == ["a.mov", "b.mp4", "c.mp4"]
    assert jobs[2].output == f"{tmp_path}/out/c.mkv"
    assert jobs[2].mask == (f"{tmp_path}/deep/masks/c.mp4.png",)


def test_a_name_with_brackets_is_a_name(tmp_path):
    (tmp_path / "take[1].mp4").touch()
    jobs = match_jobs(f"{tmp_path}/take[1].mp4", {"output": "{stem}.mkv", "box": "1,2,3,4"})
    assert Path(jobs[0].output).name == "take[1].mkv"


def test_patterns_that_say_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="matches nothing"):
        match_jobs(f"{tmp_path}/*.mp4", GOOD)
    with pytest.raises(InputError, match=r"'{steam}' is unknown; use {stem}"):
        match_jobs(str(tmp_path), {**GOOD, "output": "{steam}.mp4"})


@pytest.mark.parametrize("pattern", ["a\0*.mp4", "*/" * 2000, "é" * 300 + "*"])
def test_patterns_that_no_file_can_match_are_refused(tmp_path, pattern):
    with pytest.raises(InputError, match="matches nothing"):
        match_jobs(f"{tmp_path}/{pattern}", GOOD)


def test_an_output_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"output is 0\.5; it must be a text"):
        match_jobs(str(tmp_path), {**GOOD, "output": 0.5})


@pytest.mark.parametrize("name", ["input", "output", "mask"])
@pytest.mark.parametrize("path", ["a\ud800.mp4", "a\0.mp4"])
def test_what_is_no_files_name_is_refused(name, path):
    with pytest.raises(InputError, match=rf"{name} .* is not the name of a file"):
        Job.from_fields({**GOOD, name: path})


def test_a_problem_is_told_in_one_line():
    assert str(Problem("job 1 (a\nb\x1b[2J)", "it is bad")) == "job 1 (a b\ufffd[2J): it is bad"


def test_a_long_line_is_not_said_again(tmp_path):
    path = tmp_path / "jobs.jsonl"
    long = "x" * 900_000
    changes = [{long: 1}, {"box": long}, {"dilate": long}, {"input": long}, {"mask": [long, 3]}]
    changes += [{"method": long}, {"box": ["a", long, 1]}]
    lines = [json.dumps({**GOOD, **change}) for change in changes]
    path.write_text("\n".join([*lines, "x" * 8_000_000]))
    jobs, problems = read_jobs(path)
    assert len(jobs) == 2, "names and boxes are looked at when the job is planned"
    assert len(problems) == 6
    assert max(len(str(problem)) for problem in problems) < 2500
    assert "8,000,000 characters long" in str(problems[-1])


def test_what_separates_lines_elsewhere_is_part_of_a_text(tmp_path):
    path = tmp_path / "jobs.jsonl"
    names = [f"a{mark}b.mp4" for mark in "\u2028\u2029\x85"]
    jobs = [json.dumps({**GOOD, "output": name}, ensure_ascii=False) for name in names]
    path.write_bytes("\ufeff{}\r\n".format("\r\n".join(jobs)).encode())
    found, problems = read_jobs(path)
    assert not problems
    assert [Path(job.output).name for job in found] == names


@pytest.mark.parametrize("line", ["[" * 50_000, '{"input":' * 50_000, '{"box": ' + "[" * 50_000])
def test_a_line_nested_too_deeply_is_named(tmp_path, line):
    path = tmp_path / "jobs.jsonl"
    path.write_text(line)
    jobs, problems = read_jobs(path)
    assert not jobs
    assert "it is no JSON: its lists and objects are nested too deeply" in str(problems[0])


def test_a_value_nested_as_deeply_as_json_is_read_is_named(tmp_path):
    """Reading and writing JSON end at different depths."""
    path = tmp_path / "jobs.jsonl"
    depths = range(100, 1500, 50)
    nested = [f'{{"box": {"[" * depth}{"]" * depth}}}' for depth in depths]
    path.write_text("\n".join(nested))
    jobs, problems = read_jobs(path, {"input": "a", "output": "b"})
    assert (len(jobs), len(problems)) == (0, len(nested))


def test_a_file_that_is_no_list_of_jobs_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text("{}\n" * 100_000)
    jobs, problems = read_jobs(path)
    assert not jobs
    assert len(problems) == 101
    assert str(problems[-1]).endswith("line 101: the lines from here were not read")


def test_a_job_without_an_output_writes_next_to_its_input(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    job = Job.from_fields({"input": str(tmp_path / "a.mp4"), "box": "1,2,3,4"})
    assert job.output == str(tmp_path / "a-clean.mp4")
    assert match_jobs(str(tmp_path / "*.mp4"), {"box": "1,2,3,4"}) == [job]


def test_a_job_may_say_what_to_look_for():
    fields = {"input": "a.mp4", "track": ["1,2,30,40@2"], "text": True, "region": "0,0,9,9"}
    job = Job.from_fields({**fields, "logo": True})
    assert job.search == Search(("1,2,30,40@2",), True, "0,0,9,9", True)
    assert fingerprint(job) != fingerprint(Job.from_fields(fields))
    with closing(job.open_masks()) as masks:  # nothing is looked for in a check
        assert isinstance(masks.sources[0], UnknownMask)


def test_a_range_may_be_numbers_or_texts_and_makes_another_job():
    whole, part = Job.from_fields(GOOD), Job.from_fields({**GOOD, "start": 2, "end": "0:03.5"})
    assert (part.settings().start, part.settings().end) == (2.0, 3.5)
    assert fingerprint(whole) != fingerprint(part)
    with pytest.raises(InputError, match=r"`end` \(1 s\) must be later than `start` \(2 s\)"):
        Job.from_fields({**GOOD, "start": 2, "end": 1})
    with pytest.raises(InputError, match="start is true; it must be a text or a number or null"):
        Job.from_fields({**GOOD, "start": True})


def test_sound_can_be_left_out():
    assert Job.from_fields({**GOOD, "audio": False}).options == {"audio": False}


def test_plates_of_a_job_are_absolute_read_and_part_of_its_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wall.png").write_bytes(b"1")
    fields = {
        "input": "a.mp4", "output": "b.mp4", "box": "1,2,3,4",
        "plates": "plates", "clean": ["0:02=wall.png"],
    }  # fmt: skip
    job = Job.from_fields(fields)
    assert job.settings().plates == str(tmp_path / "plates")
    assert job.settings().clean == (f"0:02={tmp_path / 'wall.png'}",)
    assert job.reads()[1:] == [str(tmp_path / "plates"), str(tmp_path / "wall.png")]
    before = fingerprint(job)
    (tmp_path / "wall.png").write_bytes(b"22")
    assert fingerprint(job) != before
    with pytest.raises(InputError, match='clean is "3=x"; it must be a list of texts'):
        Job.from_fields({**fields, "clean": "3=x"})
