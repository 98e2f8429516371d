"""What the seccomp filter says to a call, as the kernel would run it."""

from __future__ import annotations

import errno
import struct

import pytest

from quickthaw_platform.cage import call_filter
from quickthaw_platform.cage.syscalls import MACHINES, TABLE, number

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
READ = {"x86_64": 0, "aarch64": 63}
MACHINE = "x86_64"


def verdict(program: bytes, call: int, *arguments: int, architecture: int = ARCHITECTURES[MACHINE]) -> int:
    """Run a BPF program on a `struct seccomp_data`, by linux/bpf_common.h."""
    data = struct.pack("<IIQ6Q", call, architecture, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    at = accumulator = 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x45:
                at += if_true if accumulator & operand else if_false
            case 0x06:
                return int(operand)


def refused(code: int) -> int:
    return 0x00050000 | code


def program(*, internet: bool = True, gpu: bool = False) -> bytes:
    return call_filter.program(MACHINE, internet=internet, gpu=gpu)


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize("name", sorted(call_filter.REFUSED))
def test_dangerous_calls_are_refused_on_every_processor_that_has_them(machine: str, name: str) -> None:
    call = getattr(TABLE[name], machine)
    if call is None:
        return
    filter_ = call_filter.program(machine, internet=True, gpu=True)
    assert verdict(filter_, call, architecture=ARCHITECTURES[machine]) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_other_calls_are_allowed(machine: str) -> None:
    filter_ = call_filter.program(machine, internet=False, gpu=False)
    assert verdict(filter_, READ[machine], 0, 1, 2, architecture=ARCHITECTURES[machine]) == ALLOWED


def test_a_process_that_calls_by_the_numbers_of_another_processor_is_killed() -> None:
    assert verdict(program(), READ[MACHINE], architecture=0x40000003) == KILLED


def test_calls_of_the_32_bit_variant_are_not_there() -> None:
    assert verdict(program(), 0x40000000 | number("ptrace", MACHINE)) == refused(errno.ENOSYS)


def test_threads_and_processes_can_be_made_and_namespaces_cannot() -> None:
    clone = number("clone", MACHINE)
    assert verdict(program(), clone, 0x003D0F00) == ALLOWED  # pthread_create
    assert verdict(program(), clone, 0x01200011) == ALLOWED  # fork
    for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x02000000, 0x00000080):
        assert verdict(program(), clone, flag | 17) == refused(errno.EPERM)
    assert verdict(program(), number("clone3", MACHINE)) == refused(errno.ENOSYS)


def test_memory_that_no_limit_counts_is_refused_unless_a_gpu_needs_it() -> None:
    shared, private = 0x21, 0x22
    mapping = number("mmap", MACHINE)
    assert verdict(program(), mapping, 0, 4096, 3, private) == ALLOWED
    assert verdict(program(), mapping, 0, 4096, 3, 0x01) == ALLOWED  # of a file
    assert verdict(program(), mapping, 0, 4096, 3, shared) == refused(errno.EPERM)
    assert verdict(program(), mapping, 0, 4096, 3, 0x23) == refused(errno.EPERM)  # MAP_SHARED_VALIDATE
    assert verdict(program(gpu=True), mapping, 0, 4096, 3, shared) == ALLOWED
    for name in ("memfd_create", "memfd_secret", "shmget"):
        assert verdict(program(), number(name, MACHINE)) == refused(errno.EPERM)
        assert verdict(program(gpu=True), number(name, MACHINE)) == ALLOWED


@pytest.mark.parametrize(
    ("family", "with_internet", "without"),
    [
        (1, True, True),  # AF_UNIX
        (16, True, True),  # AF_NETLINK, which the C library asks for addresses
        (2, True, False),  # AF_INET
        (10, True, False),  # AF_INET6
        (40, False, False),  # AF_VSOCK: to the machine beneath a virtual one
        (17, False, False),  # AF_PACKET
        (38, False, False),  # AF_ALG
    ],
    ids=["unix", "netlink", "inet", "inet6", "vsock", "packet", "alg"],
)
def test_which_sockets_there_are(family: int, with_internet: bool, without: bool) -> None:
    for internet, allowed in ((True, with_internet), (False, without)):
        found = verdict(program(internet=internet), number("socket", MACHINE), family)
        assert found == (ALLOWED if allowed else refused(errno.EAFNOSUPPORT))


def test_nothing_is_typed_into_a_terminal() -> None:
    assert verdict(program(), number("ioctl", MACHINE), 0, 0x5412) == refused(errno.EPERM)
    assert verdict(program(), number("ioctl", MACHINE), 0, 0x5413) == ALLOWED


def test_a_processor_that_is_not_known_is_refused() -> None:
    with pytest.raises(OSError, match="riscv64"):
        call_filter.program("riscv64", internet=True, gpu=False)
