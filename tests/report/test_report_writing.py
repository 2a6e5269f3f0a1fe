"""Writing a report: strict JSON, and a file that is whole or not there."""

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from thalweg import report
from thalweg.report.atomic import write_text
from thalweg.report.json import plain


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} in strict JSON")


def test_a_report_reads_back_as_it_was_written(sample, tmp_path):
    path = tmp_path / "report.json"
    report.write_json(sample, path)
    assert report.read(path) == plain(sample) == sample


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (np.float32("nan"), None),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (True, True),
        (None, None),
        ("text", "text"),
        (Path("a/b"), str(Path("a/b"))),
        ((1, (2.5, [math.nan])), [1, [2.5, [None]]]),
        ({"a": {"b": math.inf}}, {"a": {"b": None}}),
    ],
    ids=repr,
)
def test_values_become_plain(value, expected, tmp_path):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
    report.write_json({"value": value}, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=refuse_constant) == {"value": expected}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [0, {1, 2}]}, r"report\.a\[1\] is a set, which JSON cannot hold"),
        ({"a": np.zeros(2)}, r"report\.a is a ndarray"),
        ({"a": {1: 2}}, r"report\.a has the key 1; the keys of a report must be texts"),
        ({"a": 1j}, r"report\.a is a complex"),
    ],
    ids=["set", "array", "key", "complex"],
)
def test_what_is_not_plain_is_refused_by_its_place(value, says, tmp_path):
    with pytest.raises(TypeError, match=says):
        report.write_json(value, tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def writers():
    return [("json", report.write_json), ("html", report.write_html)]


@pytest.fixture(params=writers(), ids=lambda pair: pair[0])
def writer(request):
    return request.param[1]


def test_a_missing_folder_is_named(writer, samples, tmp_path):
    path = tmp_path / "none" / "report"
    with pytest.raises(report.ReportError) as caught:
        writer(samples["healthy"], path)
    assert str(caught.value) == (
        f"cannot write {path}: the folder {tmp_path / 'none'} does not exist; create it first."
    )


def test_a_folder_is_not_overwritten(writer, samples, tmp_path):
    with pytest.raises(report.ReportError, match="it is a folder; name a file in it"):
        writer(samples["healthy"], tmp_path)


def test_an_unwritable_folder_is_an_error(writer, samples, tmp_path):
    tmp_path.chmod(0o500)
    # The superuser may write wherever there is a real file system; /sys is none.
    folder = Path("/sys") if os.geteuid() == 0 else tmp_path
    with pytest.raises(
        report.ReportError, match=f"cannot write {folder}/report: .*(denied|not perm)"
    ):
        writer(samples["healthy"], folder / "report")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_device_is_an_error(writer, samples):
    with pytest.raises(report.ReportError, match="cannot write /dev/full: No space left on device"):
        writer(samples["healthy"], "/dev/full")


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(
    writer, samples, tmp_path, monkeypatch, fails
):
    path = tmp_path / "report"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(report.ReportError, match=f"cannot write {path}: No space left on device"):
        writer(samples["healthy"], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "report", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_through_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_the_users_umask_decides_who_may_read(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "report", "text")
    finally:
        os.umask(old)
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_to_directly(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text(path, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_what_utf8_cannot_hold_is_escaped(tmp_path):
    write_text(tmp_path / "report", "a\udcffb")
    assert (tmp_path / "report").read_bytes() == b"a\\udcffb"


def test_a_long_name_can_be_written(tmp_path):
    write_text(tmp_path / ("n" * 250), "text")
    assert (tmp_path / ("n" * 250)).read_text() == "text"
