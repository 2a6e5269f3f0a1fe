"""The overlay against the real file system.

Every *deed* below is done twice: directly in one copy of a small folder, and under an overlay in
another. What the deed returns or raises, and what the script sees of the folder afterwards, must be
the same; and the second copy must not have changed.
"""

import contextlib
import glob
import io
import os
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import types
import zipfile

import numpy
import pytest
import torch

from thalweg.trials.overlay import overlay


def _fill(folder):
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "one.txt").write_text("one")
    (folder / "data" / "two.txt").write_text("two")
    (folder / "log.txt").write_text("begun\n")
    (folder / "empty").mkdir()
    (folder / "link.txt").symlink_to("log.txt")
    (folder / "short").symlink_to("data")
    torch.save({"a": torch.arange(3)}, folder / "old.pt")


def _tree(top):
    """Everything below ``top`` through Python's doors: names, kinds, contents."""
    seen = {}
    for folder, folders, files in os.walk(top):
        for name in folders:
            seen[os.path.relpath(os.path.join(folder, name), top)] = "folder"
        for name in files:
            path = os.path.join(folder, name)
            seen[os.path.relpath(path, top)] = _content(path)
    return seen


def _content(path):
    if not os.path.exists(path):
        return "broken link"
    with open(path, "rb") as file:
        return file.read()


def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read()


def new_file():
    write("new.txt", "new")
    return read("new.txt"), os.path.getsize("new.txt"), sorted(os.listdir("."))


def overwrite():
    write("log.txt", "other")
    return read("log.txt"), pathlib.Path("log.txt").read_text()


def append():
    write("log.txt", "more\n", "a")
    return read("log.txt")


def update_in_place():
    with open("log.txt", "r+") as file:
        file.seek(2)
        file.write("XX")
    return read("log.txt")


def exclusive_on_old():
    write("log.txt", "x", "x")


def exclusive_on_new():
    write("fresh.txt", "x", "x")
    write("fresh.txt", "x", "x")


def no_such_folder():
    write("nowhere/new.txt", "x")


def write_over_folder():
    write("data", "x")


def read_missing():
    return read("missing.txt")


def absolute_path():
    write(os.path.abspath("here.txt"), "x")
    return os.path.exists("here.txt"), os.path.isfile("./data/../here.txt")


def path_of_bytes():
    write(b"bytes.txt", "x")
    return sorted(os.listdir(b".")), sorted(entry.name for entry in os.scandir(b"."))


def io_open():
    with io.open("io.txt", "w") as file:  # noqa: UP020
        file.write("x")


def os_open():
    fd = os.open("raw.bin", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, b"raw")
    os.close(fd)
    fd = os.open("log.txt", os.O_RDWR)
    os.write(fd, b"BEG")
    os.close(fd)


def os_open_exclusive():
    os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_TRUNC)


def truncate():
    os.truncate("log.txt", 2)
    return os.stat("log.txt").st_size


def mkdir_old():
    os.mkdir("data")


def mkdir_without_parent():
    os.mkdir("a/b")


def makedirs():
    os.makedirs("runs/1/logs")
    os.makedirs("runs/1/logs", exist_ok=True)
    os.makedirs("data/deep/er", exist_ok=True)
    write("runs/1/logs/x.txt", "x")
    return sorted(os.listdir("data/deep")), os.path.isdir("runs/1")


def remove_old():
    os.remove("log.txt")
    return os.path.exists("log.txt"), os.path.lexists("link.txt"), os.path.exists("link.txt")


def remove_twice():
    os.remove("log.txt")
    os.remove("log.txt")


def remove_and_write_again():
    os.remove("log.txt")
    write("log.txt", "again", "a")
    return read("log.txt")


def remove_folder_as_file():
    os.remove("data")


def rmdir_empty():
    os.rmdir("empty")
    return os.path.isdir("empty")


def rmdir_full():
    os.rmdir("data")


def rmdir_missing():
    os.rmdir("missing")


def rmtree():
    shutil.rmtree("data")
    return os.path.exists("data/two.txt"), os.path.exists("data")


def rmtree_and_make_again():
    shutil.rmtree("data")
    os.makedirs("data/deep")
    return os.listdir("data/deep")


def rename_old():
    os.rename("log.txt", "log.old")
    return os.path.exists("log.txt"), read("log.old")


def rename_folder():
    os.rename("data", "moved")
    return os.path.exists("data"), os.path.exists("data/two.txt"), sorted(os.listdir("moved"))


def rename_folder_onto_full():
    os.mkdir("full")
    write("full/x", "x")
    os.rename("data", "full")


def rename_folder_onto_empty():
    os.rename("data", "empty")
    return sorted(os.listdir("empty"))


def rename_file_onto_folder():
    os.rename("log.txt", "data")


def rename_missing():
    os.rename("missing", "there")


def save_atomically():
    write("log.tmp", "whole")
    os.replace("log.tmp", "log.txt")
    return read("log.txt")


def from_temporary_file():
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("t")
    os.replace(file.name, "log.txt")
    return read("log.txt"), os.path.exists(file.name)


def to_temporary_file():
    with tempfile.TemporaryDirectory() as folder:
        shutil.move("log.txt", folder)
        return os.listdir(folder)


def copy_and_move():
    shutil.copy("log.txt", "copy.txt")
    shutil.copytree("data", "data2")
    shutil.move("copy.txt", "data2")
    return sorted(os.listdir("data2"))


def symlink_to_latest():
    write("ckpt.txt", "7")
    os.symlink("ckpt.txt", "latest")
    os.symlink("log.txt", "old")
    return read("latest"), read("old"), os.path.islink("latest")


def symlink_exists():
    os.symlink("log.txt", "data")


def hard_link():
    os.link("log.txt", "same.txt")
    return read("same.txt")


def through_folder_link():
    write("short/three.txt", "3")
    return sorted(os.listdir("short")), sorted(os.listdir("data"))


def through_file_link():
    write("link.txt", "by link")
    return read("log.txt")


def change_folder():
    start = os.getcwd()
    os.makedirs("runs/a")
    os.chdir("runs/a")
    write("x.txt", "x")
    up = read("../../log.txt")
    here = os.path.relpath(os.getcwd(), start)
    os.chdir(start)
    return here, up, os.listdir("runs/a"), os.path.relpath(pathlib.Path.cwd(), start)


def times_and_modes():
    os.utime("log.txt", (1, 1))
    os.chmod("data/two.txt", 0o600)
    return os.stat("log.txt").st_mtime, oct(os.stat("data/two.txt").st_mode)


def globbing():
    write("data/three.txt", "3")
    os.remove("data/two.txt")
    found = sorted(str(path) for path in pathlib.Path("data").rglob("*.txt"))
    return sorted(glob.glob("data/*.txt")), found, sorted(glob.glob("**/*.txt", recursive=True))


def scan_entries():
    write("data/three.txt", "3")
    with os.scandir("data") as entries:
        return sorted((e.name, e.path, e.is_dir(), e.is_file(), os.fspath(e)) for e in entries)


def with_pathlib():
    path = pathlib.Path("p") / "q"
    path.mkdir(parents=True)
    (path / "x").write_text("x")
    (path / "x").rename(path / "y")
    pathlib.Path("log.txt").unlink()
    (path / "z").touch()
    return sorted(p.name for p in path.iterdir()), (path / "y").stat().st_size


def numpy_files():
    numpy.save("a.npy", numpy.arange(3))
    numpy.savez("b.npz", a=numpy.ones(2))
    numpy.arange(3.0).tofile("c.bin")
    numpy.savetxt("d.txt", numpy.ones(2))
    mapped = numpy.memmap("e.bin", dtype="float32", mode="w+", shape=(2,))
    mapped[:] = 1
    mapped.flush()
    return numpy.load("a.npy").tolist(), numpy.load("b.npz")["a"].tolist()


def torch_files():
    torch.save({"w": torch.arange(4)}, "w.pt")
    torch.save({"a": torch.zeros(1)}, pathlib.Path("old.pt"))
    torch.save(torch.ones(1), f="f.pt")
    mapped = torch.load("w.pt", mmap=True)["w"].tolist()
    loaded = torch.load(pathlib.Path("old.pt"), weights_only=True)["a"].tolist()
    for name in ("w.pt", "old.pt", "f.pt"):  # an archive's bytes hold its name: compare the rest
        os.remove(name)
    return mapped, loaded


def torch_load_old():
    return torch.load("old.pt")["a"].tolist(), torch.load("old.pt", mmap=True)["a"].tolist()


def database():
    with contextlib.closing(sqlite3.connect("new.db")) as base, base:
        base.execute("create table t (x)")
        base.execute("insert into t values (1)")
    with contextlib.closing(sqlite3.connect(pathlib.Path("new.db"))) as base:
        return base.execute("select x from t").fetchall()


def zip_archive():
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("inside.txt"), "x")
    return zipfile.ZipFile("z.zip").namelist()


def by_descriptor():
    fd = os.open("data", os.O_RDONLY)
    try:
        os.mkdir("sub", dir_fd=fd)
        os.unlink("two.txt", dir_fd=fd)
        return os.stat("sub", dir_fd=fd).st_nlink > 0, os.path.exists("data/two.txt")
    finally:
        os.close(fd)


def devices():
    write("/dev/null", "x")
    return os.path.exists("/dev/null")


DEEDS = [
    value
    for value in list(globals().values())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and not value.__name__.startswith("_")
    and value not in (write, read)
]


def _done(deed):
    """What came of it: a result, or an error in the words a script would see."""
    try:
        return deed()
    except OSError as error:
        return type(error), error.errno, error.filename


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_seems_to_happen_and_does_not(deed, tmp_path, monkeypatch):
    copies = tmp_path / "direct", tmp_path / "under"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for copy in copies:
        _fill(copy)
    before = _tree(copies[1])

    monkeypatch.chdir(copies[0])
    expected = _done(deed), _tree(".")

    monkeypatch.chdir(copies[1])
    with overlay(tmp_path / "scratch"):
        found = _done(deed), _tree(".")

    assert found == expected
    assert _tree(copies[1]) == before


def test_everything_is_put_back(tmp_path):
    doors = open, io.open, os.open, os.stat, os.listdir, os.rename, torch.save, torch.load
    with overlay(tmp_path / "scratch"):
        assert open is not doors[0]
    assert doors == (open, io.open, os.open, os.stat, os.listdir, os.rename, torch.save, torch.load)


def test_scratch_and_passing_folders_are_written_directly(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "pass").mkdir()
    with overlay(tmp_path / "scratch", passing=[tmp_path / "pass"]):
        write(tmp_path / "pass" / "x", "x")
        write(tmp_path / "scratch" / "y", "y")
        write(tmp_path / "z", "z")
    assert (tmp_path / "pass" / "x").read_text() == "x"
    assert (tmp_path / "scratch" / "y").read_text() == "y"
    assert not (tmp_path / "z").exists()


def test_temporary_folder_is_written_directly(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with overlay(tmp_path / "scratch"):
        write(tmp_path / "x", "x")
    assert (tmp_path / "x").exists()


def test_names_bound_earlier_in_other_packages_are_replaced(tmp_path, monkeypatch):
    other = types.ModuleType("some_package")
    other.keep, other.look = open, os.path.exists
    monkeypatch.setitem(sys.modules, "some_package", other)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    with overlay(tmp_path / "scratch"):
        other.keep(tmp_path / "x", "w").close()
        assert other.look(tmp_path / "x")
    assert other.keep is open
    assert not (tmp_path / "x").exists()


def test_what_user_code_opens_while_torch_saves_is_caught(tmp_path, monkeypatch):
    """The wrapper's privilege to see the real files ends before the original function runs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    with overlay(tmp_path / "scratch"):
        torch.save(_Writes(tmp_path / "inner.txt"), tmp_path / "x.pt")
        assert os.path.exists(tmp_path / "inner.txt")
    assert sorted(os.listdir(tmp_path)) == ["scratch"]


class _Writes:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        write(self.path, "x")
        return (str, ())
