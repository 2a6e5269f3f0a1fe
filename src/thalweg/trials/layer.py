"""A second layer over the file system: what was written lies in a scratch folder, the rest below.

The arithmetic of :mod:`thalweg.trials.overlay`, without any patching: given a path as a script
would write it, which file does it mean? ``above(path)`` is where the layer keeps its own version,
under ``scratch/files`` at the same absolute path; what the script removed is remembered in
``hidden``, and a hidden folder hides all that lies below it. Paths in ``passing`` belong to no
layer.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Layer:
    """The scratch folder's version of the file system.

    Args:
        scratch: an existing or new folder for everything that is written.
        passing: folders whose files are used as they are.
    """

    def __init__(self, scratch: Path, passing: Sequence[str] = ()) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.scratch = os.path.realpath(scratch)
        self.root = os.path.join(self.scratch, "files")
        self.passing = tuple({os.path.realpath(p) for p in (*passing, self.scratch)})
        self.hidden: set[str] = set()
        os.makedirs(self.root, exist_ok=True)

    def move_to(self, scratch: Path) -> None:
        """Go on with a copy of everything that was written, in another folder."""
        before, inside = self.root, os.getcwd()
        shutil.copytree(before, os.path.join(scratch, "files"), symlinks=True)
        self.scratch = os.path.realpath(scratch)
        self.root = os.path.join(self.scratch, "files")
        self.passing = tuple({*self.passing, self.scratch})
        if inside == before or inside.startswith(before + os.sep):
            os.chdir(self.root + inside[len(before) :])

    # Names. A *place* is an absolute path without symbolic links in its folders.

    def folder(self) -> str:
        """The working directory as the script knows it: one of the layer's goes by its own name."""
        here = os.getcwd()
        if here == self.root or here.startswith(self.root + os.sep):
            return here[len(self.root) :] or os.sep
        return here

    def place(self, path: StrPath, dir_fd: int | None = None, follow: bool = True) -> str:
        """Where ``path`` is; the last component's symbolic link is followed on request."""
        whole = os.fsdecode(path)
        if not os.path.isabs(whole):  # else the working directory may be gone, for all it matters
            start = self.folder() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
            whole = os.path.join(start, whole)
        whole = os.path.abspath(whole)
        head, tail = os.path.split(whole)
        where = os.path.join(os.path.realpath(head), tail)
        if follow and os.path.islink(where) and not self.holds(where) and self.shows_below(where):
            return os.path.realpath(where)
        return where

    def passes(self, place: str) -> bool:
        """Whether the file at ``place`` is used as it is."""
        return any(place == one or place.startswith(one + os.sep) for one in self.passing)

    def above(self, place: str) -> str:
        """Where the layer's own version of ``place`` is, or would be."""
        return self.root + place

    def holds(self, place: str) -> bool:
        """Whether the layer has a version of its own."""
        return os.path.lexists(self.above(place))

    def shows_below(self, place: str) -> bool:
        """Whether the file system's version of ``place``, if there is one, is to be seen."""
        return not self.hidden or not any(one in self.hidden for one in _upwards(place))

    def seen(self, place: str) -> str:
        """The real path to read for ``place``; a missing file's path if it is not to be seen."""
        if self.passes(place):
            return place
        if self.holds(place) or not self.shows_below(place):
            return self.above(place)
        return place

    def exists(self, place: str) -> bool:
        """Whether the script sees something at ``place``, be it a broken link."""
        return os.path.lexists(self.seen(place))

    def untouched(self, place: str) -> bool:
        """Whether nothing at or below ``place`` differs from the file system."""
        if self.passes(place):
            return True
        return self.shows_below(place) and not self.hidden and not self.holds(place)

    def names(self, place: str) -> list[str]:
        """What a folder contains.

        Raises:
            OSError: there is no such folder to be seen.
        """
        if self.untouched(place):
            return os.listdir(place)
        mine = os.listdir(self.above(place)) if os.path.isdir(self.above(place)) else []
        if not self.shows_below(place) or not os.path.isdir(place):
            return mine if self.holds(place) else os.listdir(self.seen(place))
        below = (n for n in os.listdir(place) if os.path.join(place, n) not in self.hidden)
        return list(dict.fromkeys([*mine, *below]))

    # Changes. Each returns the real path to hand on, or does the whole work.

    def writable(self, place: str, copy: bool) -> str:
        """A real path to write ``place`` at, with the present content there if ``copy``."""
        if self.passes(place) or _is_special(self.seen(place)):
            return self.seen(place)
        self._bring_folder(os.path.dirname(place))
        target = self.above(place)
        if not self.holds(place) and self.shows_below(place) and os.path.lexists(place):
            if os.path.isdir(place):
                os.mkdir(target)
            elif copy:
                _copy(place, target)
        return target

    def make_folder(self, place: str, mode: int) -> None:
        """``mkdir``: the folder is made in the layer."""
        if self.passes(place):
            return os.mkdir(place, mode)
        if self.exists(place):
            raise _error(errno.EEXIST, place)
        self._bring_folder(os.path.dirname(place))
        return os.mkdir(self.above(place), mode)

    def remove(self, place: str) -> None:
        """``unlink``: the layer's version goes, the file system's is hidden."""
        if self.passes(place):
            return os.unlink(place)
        seen = self.seen(place)
        if os.path.isdir(seen) and not os.path.islink(seen):
            raise _error(errno.EISDIR, place)
        return self._drop(place, os.unlink)

    def remove_folder(self, place: str) -> None:
        """``rmdir``: only an empty folder can go."""
        if self.passes(place):
            return os.rmdir(place)
        if not os.path.isdir(self.seen(place)):
            raise _error(errno.ENOTDIR if self.exists(place) else errno.ENOENT, place)
        if self.names(place):
            raise _error(errno.ENOTEMPTY, place)
        return self._drop(place, os.rmdir)

    def move(self, source: str, target: str) -> None:
        """``rename``, replacing the target: what moves is copied into the layer first."""
        if not self.exists(source):
            raise _error(errno.ENOENT, source)
        if source == target:
            return
        real = source if self.passes(source) else self._bring(source)
        if not self.passes(target):
            self._make_room(target, os.path.isdir(real))
            self._bring_folder(os.path.dirname(target))
        _rename(real, target if self.passes(target) else self.above(target))
        if not self.passes(source) and os.path.lexists(source):
            self.hidden.add(source)

    def _make_room(self, target: str, for_folder: bool) -> None:
        """Check that something can be renamed to ``target``, and take away what it replaces."""
        if not self.exists(target):
            return
        if not os.path.isdir(self.seen(target)):
            if for_folder:
                raise _error(errno.ENOTDIR, target)
            return self._drop(target, os.unlink)
        if not for_folder:
            raise _error(errno.EISDIR, target)
        return self.remove_folder(target)

    def _drop(self, place: str, remove: object) -> None:
        if not self.exists(place):
            raise _error(errno.ENOENT, place)
        if self.holds(place):
            remove(self.above(place))  # type: ignore[operator]
        if os.path.lexists(place):
            self.hidden.add(place)

    def _bring(self, place: str) -> str:
        """The layer's version of a file or a whole tree, made now if there is none."""
        target = self.above(place)
        if os.path.isdir(self.seen(place)) and not os.path.islink(self.seen(place)):
            names = self.names(place)
            os.makedirs(target, exist_ok=True)
            for name in names:
                self._bring(os.path.join(place, name))
        elif not self.holds(place):
            self._bring_folder(os.path.dirname(place))
            _copy(place, target)
        return target

    def _bring_folder(self, place: str) -> None:
        """Make the layer's version of a folder, if there is a folder to be seen."""
        if os.path.isdir(self.seen(place)):
            os.makedirs(self.above(place), exist_ok=True)


def _upwards(place: str) -> Iterator[str]:
    """``place`` and every folder that it lies in."""
    yield place
    while (parent := os.path.dirname(place)) != place:
        yield parent
        place = parent


def _is_special(path: str) -> bool:
    """Whether ``path`` is a pipe, a socket or a device, which cannot be copied."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def _copy(source: str, target: str) -> None:
    """Copy a file; a link becomes a link to the same place, said absolutely."""
    if os.path.islink(source):
        return os.symlink(os.path.realpath(source), target)
    shutil.copyfile(source, target)
    shutil.copystat(source, target)
    return os.chmod(target, os.stat(target).st_mode | 0o600)


def _rename(source: str, target: str) -> None:
    """``rename`` that also works where the scratch folder is on another file system."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(source, target)


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
