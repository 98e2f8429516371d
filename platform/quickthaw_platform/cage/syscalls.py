"""The numbers of the system calls that the cage makes or refuses, by processor. Source: the kernel's unistd.h."""

from __future__ import annotations

from typing import NamedTuple


class Numbers(NamedTuple):
    """One call's numbers; None: the processor has no such call."""

    x86_64: int | None
    aarch64: int | None


TABLE = {
    "acct": Numbers(163, 89),
    "add_key": Numbers(248, 217),
    "adjtimex": Numbers(159, 171),
    "bpf": Numbers(321, 280),
    "capset": Numbers(126, 91),
    "chroot": Numbers(161, 51),
    "clock_adjtime": Numbers(305, 266),
    "clock_settime": Numbers(227, 112),
    "clone": Numbers(56, 220),
    "clone3": Numbers(435, 435),
    "delete_module": Numbers(176, 106),
    "fanotify_init": Numbers(300, 262),
    "finit_module": Numbers(313, 273),
    "fsconfig": Numbers(431, 431),
    "fsmount": Numbers(432, 432),
    "fsopen": Numbers(430, 430),
    "fspick": Numbers(433, 433),
    "init_module": Numbers(175, 105),
    "io_uring_enter": Numbers(426, 426),
    "io_uring_register": Numbers(427, 427),
    "io_uring_setup": Numbers(425, 425),
    "ioctl": Numbers(16, 29),
    "ioperm": Numbers(173, None),
    "iopl": Numbers(172, None),
    "kcmp": Numbers(312, 272),
    "kexec_file_load": Numbers(320, 294),
    "kexec_load": Numbers(246, 104),
    "keyctl": Numbers(250, 219),
    "lookup_dcookie": Numbers(212, 18),
    "memfd_create": Numbers(319, 279),
    "memfd_secret": Numbers(447, 447),
    "mmap": Numbers(9, 222),
    "modify_ldt": Numbers(154, None),
    "mount": Numbers(165, 40),
    "mount_setattr": Numbers(442, 442),
    "move_mount": Numbers(429, 429),
    "msgget": Numbers(68, 186),
    "name_to_handle_at": Numbers(303, 264),
    "open_by_handle_at": Numbers(304, 265),
    "open_tree": Numbers(428, 428),
    "perf_event_open": Numbers(298, 241),
    "pidfd_getfd": Numbers(438, 438),
    "pivot_root": Numbers(155, 41),
    "process_madvise": Numbers(440, 440),
    "process_vm_readv": Numbers(310, 270),
    "process_vm_writev": Numbers(311, 271),
    "ptrace": Numbers(101, 117),
    "quotactl": Numbers(179, 60),
    "quotactl_fd": Numbers(443, 443),
    "reboot": Numbers(169, 142),
    "request_key": Numbers(249, 218),
    "semget": Numbers(64, 190),
    "setdomainname": Numbers(171, 162),
    "sethostname": Numbers(170, 161),
    "setns": Numbers(308, 268),
    "settimeofday": Numbers(164, 170),
    "shmget": Numbers(29, 194),
    "socket": Numbers(41, 198),
    "swapoff": Numbers(168, 225),
    "swapon": Numbers(167, 224),
    "syslog": Numbers(103, 116),
    "umount2": Numbers(166, 39),
    "unshare": Numbers(272, 97),
    "userfaultfd": Numbers(323, 282),
    "vhangup": Numbers(153, 58),
}

MACHINES = frozenset(Numbers._fields)


def number(name: str, machine: str) -> int:
    """Return the number of a call. Raises OSError where the processor is not one of MACHINES, or has no such call."""
    found: int | None = getattr(TABLE[name], machine, None)
    if found is None:
        raise OSError(f"the number of the system call {name} on {machine} is not known here")
    return found
