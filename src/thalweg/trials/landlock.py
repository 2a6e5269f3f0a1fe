"""Let the Linux kernel forbid a process to write outside given folders.

The overlay redirects what Python writes; what extensions in C and programs started by a script
write passes it by. Landlock (Linux 5.13) lets a process without privileges give up, for itself and
for all that it starts, the right to change files elsewhere: such a write fails with "permission
denied", instead of reaching the user's files. Where the kernel offers no Landlock nothing happens.

Reference: ``Documentation/userspace-api/landlock.rst`` of the Linux kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

_WRITE_FILE = 1 << 1
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))  # folders, files, sockets, links ...
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_ON_FILES = _WRITE_FILE | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def forbid_writes_outside(folders: Iterable[str]) -> bool:
    """Give up, for good, every change of files outside ``folders``; those that do not exist, count
    for nothing.

    Returns:
        whether the kernel keeps to it.
    """
    rights = _rights(_version())
    if not rights:
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    wanted = _Ruleset(rights)
    ruleset = call(_CREATE_RULESET, ctypes.byref(wanted), ctypes.sizeof(wanted), 0)
    if ruleset < 0:
        return False
    try:
        for folder in folders:
            _allow(call, ruleset, folder, rights)
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(call(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    """The kernel's version of Landlock, 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION)))


def _rights(version: int) -> int:
    """Every right to change files that this version knows."""
    known = (1, _WRITE_FILE | _REMOVE_AND_MAKE), (2, _REFER), (3, _TRUNCATE)
    return sum(rights for since, rights in known if version >= since)


def _allow(call: object, ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(OSError):
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if os.path.isdir(path) else rights & _ON_FILES
            rule = _Beneath(allowed, beneath)
            call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)  # type: ignore[operator]
        finally:
            os.close(beneath)
