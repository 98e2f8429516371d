"""The kernel's calls that Python 3.11 has no functions for. Each raises OSError, with the name of what was refused."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

from quickthaw_platform.cage.syscalls import number

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000

_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4

_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 4, 15, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES = 64
"""The kernel has fewer; it refuses those that it does not know."""

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


class _Instructions(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("first", ctypes.c_char_p))


def unshare(flags: int) -> None:
    """Enter new namespaces; a new pid namespace is for the next child. Needs a process of one thread."""
    _check(_libc.unshare(flags), "unshare")


def enter_for_children(namespace: int) -> None:
    """Have this process' children be in a pid namespace, given by its descriptor. Needs rights over that."""
    _check(_libc.setns(namespace, CLONE_NEWPID), "setns")


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system, or a folder or file of another one (MS_BIND)."""
    arguments = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(_libc.mount(*arguments), f"mount {kind or 'of ' + source} at {target}")


def make_read_only(target: Path) -> None:
    """Let nobody write to a mount and to those below it, nor gain rights by its programs, nor use its devices.

    Needs Linux 5.12.
    """
    _set_attributes(target, _AT_RECURSIVE, wanted=_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV)


def make_writable(target: Path) -> None:
    """Let those who may write to a mount of this process' own, and to none below it."""
    _set_attributes(target, 0, unwanted=_MOUNT_ATTR_RDONLY)


def change_root(root: Path) -> None:
    """Make a mount the root of all that this process sees, and let go of the root before."""
    os.chdir(root)
    _syscall("pivot_root", b".", b".")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount of the former root")
    os.chdir("/")


def set_dumpable(dumpable: bool) -> None:
    """Whether other processes of the same user may look into this one, and files in /proc/self belong to that user."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable), what="PR_SET_DUMPABLE")


def set_name(name: str) -> None:
    """Give this thread a name of up to 15 characters."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), what="PR_SET_NAME")


def become_subreaper() -> None:
    """Have orphans among the descendants of this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, what="PR_SET_CHILD_SUBREAPER")


def gain_no_privileges() -> None:
    """Have no program that this process or a child becomes give it more rights than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, what="PR_SET_NO_NEW_PRIVS")


def drop_bounding_capabilities() -> None:
    """Give up what no program shall ever be able to have again. Needs CAP_SETPCAP; without it nothing is to be lost."""
    for capability in range(CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def drop_capabilities() -> None:
    """Give up all rights beyond those of the user."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _syscall("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def filter_calls(program: bytes) -> None:
    """Have a seccomp filter decide on each system call from now on. Needs `gain_no_privileges`."""
    instructions = _Instructions(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(instructions), what="PR_SET_SECCOMP")


def _set_attributes(target: Path, flags: int, *, wanted: int = 0, unwanted: int = 0) -> None:
    attributes = _MountAttributes(wanted, unwanted, 0, 0)
    size = ctypes.sizeof(attributes)
    _syscall("mount_setattr", _AT_FDCWD, os.fsencode(target), flags, ctypes.byref(attributes), size)


def _prctl(option: int, *arguments: object, what: str) -> None:
    wide = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in (*arguments, 0, 0, 0)[:4]]
    _check(_libc.prctl(option, *wide), f"prctl({what})")


def _syscall(name: str, *arguments: object) -> None:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    _check(_libc.syscall(ctypes.c_long(number(name, platform.machine())), *wide), name)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
