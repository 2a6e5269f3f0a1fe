"""``os.scandir`` for a folder of two layers: entries of both, by names that the script knows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from thalweg.trials.layer import Layer


class Entry:
    """An ``os.DirEntry`` that goes by the name the script knows."""

    def __init__(self, entry: os.DirEntry[str], path: str | bytes, place: str) -> None:
        self._entry = entry
        self._place = place
        self.path = path
        self.name = os.path.basename(path)

    def __fspath__(self) -> str | bytes:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder, or a link to what the script sees as one."""
        if follow_symlinks and self._entry.is_symlink():
            return os.path.isdir(self._place)
        return self._entry.is_dir(follow_symlinks=False)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file, or a link to what the script sees as one."""
        if follow_symlinks and self._entry.is_symlink():
            return os.path.isfile(self._place)
        return self._entry.is_file(follow_symlinks=False)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """As ``os.stat``."""
        return os.stat(self._place, follow_symlinks=follow_symlinks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)  # is_symlink, inode

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"


class Scan:
    """What ``os.scandir`` returns, for a folder of two layers."""

    def __init__(
        self, layer: Layer, given: str | bytes, place: str, scandir: Callable[..., Any]
    ) -> None:
        found: dict[str, os.DirEntry[str]] = {}
        for folder in (place, layer.above(place)):
            if os.path.isdir(folder):
                with scandir(folder) as entries:
                    found.update((entry.name, entry) for entry in entries)
        self._entries = iter(
            [
                Entry(found[name], _joined(given, name), os.path.join(place, name))
                for name in layer.names(place)
            ]
        )

    def __iter__(self) -> Scan:
        return self

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._entries = iter(())


def _joined(folder: str | bytes, name: str) -> str | bytes:
    if isinstance(folder, bytes):
        return os.path.join(folder, os.fsencode(name))
    return os.path.join(folder, name)
