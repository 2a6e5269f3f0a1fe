"""Keep a script's writes away from the user's files, without the script's noticing.

Within :func:`overlay` everything that the script creates, changes, renames or removes happens in a
scratch folder; what it reads afterwards is its own version where there is one and the user's file
otherwise. Python's doors to the file system are replaced while the context lasts: ``open``,
``io.open`` and the functions of ``os`` that take paths, which carry ``pathlib``, ``shutil``,
``glob``, ``tempfile``, ``zipfile``, ``numpy.save`` and the like; ``torch.save`` and ``torch.load``,
which open files in C++, are given the right path, and so is ``sqlite3.connect``.

Used as they are: devices and ``/proc``, the folders in ``passing``, the system's temporary folder
and the user's caches (``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/.nv``, ``~/.triton``), where
downloads and compiled kernels lie that trials may share.

Not caught: extensions in C that open files by themselves (HDF5, Arrow, ``ScriptModule.save``),
programs and interpreters that the script starts (``subprocess``, ``multiprocessing`` by spawning),
``io.FileIO``, functions that an object made earlier holds, and the import system, which reads the
user's files only. On Linux :mod:`thalweg.trials.landlock` lets the kernel forbid what is not
caught.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from thalweg.trials.layer import Layer
from thalweg.trials.scan import Scan

Function = Callable[..., Any]
Replacement = tuple[Any, str, Function]

_SEEN = ("access", "listxattr", "getxattr", "statvfs", "pathconf")
_CHANGED = ("chmod", "chown", "utime", "truncate", "setxattr", "removexattr")
_CREATED = ("mkfifo", "mknod")


@contextmanager
def overlay(scratch: Path, passing: Sequence[Path] = ()) -> Iterator[Layer]:
    """Redirect what this process writes into ``scratch`` while the context lasts.

    Args:
        scratch: a folder, made if missing; nothing removes it.
        passing: further folders to write in directly.

    Yields:
        the layer, which knows what was written where.
    """
    layer = Layer(scratch, [*map(str, passing), *open_folders()])
    replacements = list(_Doors(layer).replacements())
    with ExitStack() as patches:
        for module, name, function in (*replacements, *_bound_by_name(replacements)):
            patches.enter_context(patch.object(module, name, function))
        for openers, function in _openers_of_numpy(replacements):
            patches.enter_context(patch.dict(openers, {None: function}))
        # The variant of rmtree that works on file descriptors cannot be followed by paths.
        patches.enter_context(patch.object(shutil, "_use_fd_functions", False, create=True))
        _layers.append(layer)
        patches.callback(_layers.remove, layer)
        yield layer


# The layers of the contexts that this process is in, innermost last.
_layers: list[Layer] = []


def apart(scratch: Path) -> None:
    """From now on this process, forked from a trial, writes into a copy of what the trial wrote.

    Args:
        scratch: a folder that is not there yet, in one where the trial may write.
    """
    for layer in _layers:
        layer.move_to(scratch)


def open_folders() -> list[str]:
    """The folders that every script may write in: devices, temporary files, caches."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    drivers = [os.path.expanduser(name) for name in ("~/.nv", "~/.triton")]
    return ["/dev", "/proc", tempfile.gettempdir(), cache, *drivers]


def survey() -> None:
    """Look through the modules imported so far, so that :func:`overlay` need only see the rest.

    The nursery does this once for all trials; it takes some 50 ms for the modules of torch.
    """
    with tempfile.TemporaryDirectory() as folder:
        replacements = _Doors(Layer(Path(folder))).replacements()
        _look_through([getattr(module, name) for module, name, _ in replacements])


# For each module looked through, the names by which it holds a function that overlay replaces.
_surveyed: dict[str, list[str]] = {}


def _look_through(originals: list[Function]) -> None:
    known = {id(one) for one in originals}
    for name, module in list(sys.modules.items()):
        if name not in _surveyed:
            held = getattr(module, "__dict__", {}).items() if _is_third_party(name) else ()
            _surveyed[name] = [key for key, value in list(held) if id(value) in known]


def _is_third_party(module: str) -> bool:
    """The standard library is left alone: what it binds by name (in ``tempfile``, in the import
    system) are the ways by which it is meant to reach the real files."""
    ours = module.startswith(str(__package__))
    return not ours and module.partition(".")[0] not in sys.stdlib_module_names


def _bound_by_name(replacements: list[Replacement]) -> Iterator[Replacement]:
    """Where third-party modules hold a replaced function by a name of their own."""
    originals = [getattr(module, name) for module, name, _ in replacements]
    instead = {id(one): new for one, (_, _, new) in zip(originals, replacements, strict=True)}
    places = {(id(module), name) for module, name, _ in replacements}
    _look_through(originals)
    for name in [name for name, keys in _surveyed.items() if keys and name in sys.modules]:
        module = sys.modules[name]
        for key in _surveyed[name]:
            new = instead.get(id(getattr(module, key, None)))
            if new is not None and (id(module), key) not in places:
                yield module, key, new


def _openers_of_numpy(replacements: list[Replacement]) -> Iterator[tuple[Any, Function]]:
    """``numpy.savetxt`` and ``loadtxt`` keep ``io.open`` in a table."""
    source = sys.modules.get("numpy.lib._datasource")
    openers = getattr(getattr(source, "_file_openers", None), "_file_openers", None)
    if isinstance(openers, dict) and None in openers:
        yield openers, next(f for module, _, f in replacements if module is builtins)


class _Doors:
    """The replaced functions; each asks the layer for a path and calls the original with it."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._inside = threading.local()

    def replacements(self) -> Iterator[Replacement]:
        """What to put in the place of what."""
        opener = self._translating(io.open, "file", self._for_open)
        yield builtins, "open", opener
        yield io, "open", opener
        yield from self._replacements_of_os()
        for module in ("torch", "torch.serialization", "torch.jit"):
            yield from self._replacements_of_torch(module)
        for database in (sqlite3, sqlite3.dbapi2):
            yield (
                database,
                "connect",
                self._translating(sqlite3.connect, "database", self._for_database),
            )

    def _replacements_of_os(self) -> Iterator[Replacement]:
        ways = {
            **dict.fromkeys(("stat", "chdir", *_SEEN), self._for_reading),
            **dict.fromkeys(("lstat", "readlink"), self._for_reading_a_link),
            **dict.fromkeys(_CHANGED, self._for_changing),
            **dict.fromkeys(_CREATED, self._for_creating),
            "open": self._for_os_open,
        }
        for name, way in ways.items():
            if hasattr(os, name):
                yield os, name, self._translating(getattr(os, name), "path", way)
        works: dict[str, Function] = {
            "mkdir": self._mkdir,
            "remove": self._remove,
            "unlink": self._remove,
            "rmdir": self._rmdir,
            "rename": self._move,
            "replace": self._move,
            "link": self._link,
            "symlink": self._symlink,
            "listdir": self._listdir,
            "scandir": self._scandir,
            "getcwd": lambda original: self.layer.folder(),
            "getcwdb": lambda original: os.fsencode(self.layer.folder()),
        }
        for name, work in works.items():
            yield os, name, self._doing(getattr(os, name), work)

    def _replacements_of_torch(self, module: str) -> Iterator[Replacement]:
        torch = sys.modules.get(module)
        for name, way in (("save", self._for_saving), ("load", self._for_reading)):
            if torch is not None and hasattr(torch, name):
                position = 1 if name == "save" else 0
                yield torch, name, self._translating(getattr(torch, name), "f", way, position)

    # Wrappers.

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within, this thread's calls go to the real file system: it is the layer that asks."""
        self._inside.now = True
        try:
            yield
        finally:
            self._inside.now = False

    def _is_inside(self) -> bool:
        return getattr(self._inside, "now", False)

    def _translating(
        self, original: Function, name: str, way: Function, position: int = 0
    ) -> Function:
        """``original`` with the path among its arguments replaced by what ``way`` makes of it."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = args[position] if len(args) > position else kwargs.get(name)
            if self._is_inside() or not isinstance(given, str | bytes | os.PathLike):
                return original(*args, **kwargs)
            with self._alone():
                real = way(given, args, kwargs)
            if real is None:
                return original(*args, **kwargs)
            kwargs.pop("dir_fd", None)
            if len(args) > position:
                args = (*args[:position], real, *args[position + 1 :])
            else:
                kwargs[name] = real
            return _under_its_name(given, original, args, kwargs)

        return call

    def _doing(self, original: Function, work: Function) -> Function:
        """``work``, which stands for ``original`` and is given it, on the real file system."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._is_inside():
                return original(*args, **kwargs)
            with self._alone():
                return _under_its_name(args[0] if args else None, work, (original, *args), kwargs)

        return call

    # Ways: (path as given, args, kwargs) -> real path, or None where the call needs no change.

    def _for_reading(self, path: Any, args: Any, kwargs: Any) -> str | None:
        follow = kwargs.get("follow_symlinks", True)
        return self._unless_same(path, self.layer.place(path, kwargs.get("dir_fd"), follow))

    def _for_reading_a_link(self, path: Any, args: Any, kwargs: Any) -> str | None:
        return self._unless_same(path, self.layer.place(path, kwargs.get("dir_fd"), False))

    def _unless_same(self, path: Any, place: str) -> str | None:
        real = self.layer.seen(place)
        relative = not os.path.isabs(os.fsdecode(path))
        moved = relative and self.layer.folder() != os.getcwd()
        return real if real != place or moved else None

    def _for_changing(self, path: Any, args: Any, kwargs: Any) -> str:
        return self.layer.writable(self.layer.place(path, kwargs.get("dir_fd")), copy=True)

    def _for_creating(self, path: Any, args: Any, kwargs: Any) -> str:
        return self.layer.writable(self.layer.place(path, kwargs.get("dir_fd")), copy=True)

    def _for_database(self, path: Any, args: Any, kwargs: Any) -> str | None:
        name = os.fsdecode(path)
        if name in ("", ":memory:") or name.startswith("file:"):
            return None
        return self._for_changing(path, args, {})

    def _for_saving(self, path: Any, args: Any, kwargs: Any) -> str:
        return self.layer.writable(self.layer.place(path), copy=False)

    def _for_open(self, path: Any, args: Any, kwargs: Any) -> str | None:
        mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
        if not (isinstance(mode, str) and set(mode) & set("wax+")):
            return self._for_reading(path, args, {})
        return self.layer.writable(self.layer.place(path), copy="w" not in mode)

    def _for_os_open(self, path: Any, args: Any, kwargs: Any) -> str | None:
        flags = args[1] if len(args) > 1 else kwargs["flags"]
        place = self.layer.place(path, kwargs.get("dir_fd"))
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            return self._unless_same(path, place)
        return self.layer.writable(place, copy=not flags & os.O_TRUNC or bool(flags & os.O_EXCL))

    # Works: the whole of a call.

    def _mkdir(self, _: Function, path: Any, mode: int = 0o777, *, dir_fd: Any = None) -> None:
        self.layer.make_folder(self.layer.place(path, dir_fd), mode)

    def _remove(self, _: Function, path: Any, *, dir_fd: Any = None) -> None:
        self.layer.remove(self.layer.place(path, dir_fd, follow=False))

    def _rmdir(self, _: Function, path: Any, *, dir_fd: Any = None) -> None:
        self.layer.remove_folder(self.layer.place(path, dir_fd, follow=False))

    def _move(
        self, _: Function, src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None
    ) -> None:
        source = self.layer.place(src, src_dir_fd, follow=False)
        self.layer.move(source, self.layer.place(dst, dst_dir_fd, follow=False))

    def _link(self, _: Function, src: Any, dst: Any, **_options: Any) -> None:
        """A hard link would share the user's file: the target becomes a copy."""
        target = self._new_name(dst)
        shutil.copy2(self.layer.seen(self.layer.place(src)), target)

    def _symlink(
        self, original: Function, src: Any, dst: Any, target_is_directory: bool = False, **_: Any
    ) -> None:
        """The link leads to what the script would see there now."""
        beside = os.path.dirname(self.layer.place(dst, follow=False))
        where = self.layer.place(os.path.join(beside, os.fsdecode(src)))
        original(self.layer.seen(where), self._new_name(dst), target_is_directory)

    def _new_name(self, path: Any) -> str:
        place = self.layer.place(path, follow=False)
        if self.layer.exists(place):
            raise FileExistsError(17, os.strerror(17), os.fsdecode(path))
        return self.layer.writable(place, copy=False)

    def _listdir(self, original: Function, path: Any = ".") -> Any:
        if isinstance(path, int):
            return original(path)
        names = self.layer.names(self.layer.place("." if path is None else path))
        return [os.fsencode(name) for name in names] if isinstance(path, bytes) else names

    def _scandir(self, original: Function, path: Any = ".") -> Any:
        if isinstance(path, int):
            return original(path)
        path = "." if path is None else path
        place = self.layer.place(path)
        if self.layer.untouched(place) and self._unless_same(path, place) is None:
            return original(path)
        return Scan(self.layer, os.fspath(path), place, original)


def _under_its_name(given: Any, function: Function, args: Any, kwargs: Any) -> Any:
    """Call, and let an error speak of the path that the script gave."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        if error.filename is not None and given is not None:
            error.filename = given
        raise
