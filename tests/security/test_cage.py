"""Hostile code in the cage, at each level, as root and as an ordinary user, gets what the level grants and no more."""

from __future__ import annotations

import os
import socket
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage.probing import probe
from quickthaw_platform.worker import forking
from tests.security import caged

STRICT, PROCESS = Isolation.STRICT, Isolation.PROCESS
ORDINARY_USER = 65533
GRANT = probe(None, forking.fork)

needs_strict = pytest.mark.skipif(GRANT.level is not STRICT, reason=f"no strict isolation here: {GRANT.why}")


@pytest.fixture(params=[None, ORDINARY_USER], ids=["own", "ordinary"])
def user(request: pytest.FixtureRequest) -> int | None:
    """Return whom to be: root has namespaces without one of users around them, an ordinary user with."""
    found: int | None = request.param
    if found is not None and os.geteuid() != 0:
        pytest.skip("only root can become another user; this one is an ordinary one already")
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that an ordinary user can get to, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="quickthaw-caged-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def workdir(folder: Path) -> Path:
    return folder / "workdir"


def said(code: str, workdir: Path, level: Isolation, network: Network = Network.HOST, **more: object) -> list[str]:
    """Run code and return the lines that it prints."""
    done = caged.run(textwrap.dedent(code), workdir, level, network, **more)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"ptrace": 101, "process_vm_readv": 310, "bpf": 321, "keyctl": 250, "mount": 165, "unshare": 272,
         "setns": 308, "kexec_load": 246, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425,
         "pidfd_getfd": 438, "open_by_handle_at": 304, "memfd_create": 319, "shmget": 29, "init_module": 175,
         "semget": 64, "msgget": 68}
for name, number in CALLS.items():
    result = libc.syscall(number, 0, 0, 0, 0, 0)
    assert result == -1 and ctypes.get_errno() == errno.EPERM, (name, result, ctypes.get_errno())
assert libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) == -1, "clone into a user namespace"
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name in ("NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        print(name, int(value, 16))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of calls are those of x86_64")
@pytest.mark.parametrize("level", [pytest.param(STRICT, marks=needs_strict), PROCESS], ids=["strict", "process"])
def test_calls_that_lead_out_are_refused_and_no_right_is_left(
    level: Isolation, workdir: Path, user: int | None
) -> None:
    found = dict(line.split() for line in said(CALLS, workdir, level, user=user))
    bounding = found.pop("CapBnd")
    assert found == {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0", "CapPrm": "0", "CapInh": "0", "CapAmb": "0"}
    ordinary = user is not None or os.geteuid() != 0
    assert bounding == "0" or (level is PROCESS and ordinary)  # such a user may not lower what it cannot use


@needs_strict
def test_it_sees_no_process_but_its_own(workdir: Path, user: int | None) -> None:
    code = """
    import os
    print(sorted(int(name) for name in os.listdir("/proc") if name.isdigit()), os.getpid(), os.getppid())
    for pid in (2, 12345, -1):
        try: os.kill(pid, 9)
        except ProcessLookupError: print("nobody")
    os.kill(0, 9)  # its own group, in which it is process 1, who does not hear it
    """
    assert said(code, workdir, STRICT, user=user) == ["[1] 1 0", "nobody", "nobody", "nobody"]


@needs_strict
def test_it_sees_no_file_but_what_it_is_given(folder: Path, workdir: Path, user: int | None) -> None:
    secret, given = folder / "secret", folder / "given"
    secret.write_text("token")
    given.mkdir()
    (given / "data").write_text("mine")
    code = f"""
    import os
    print(open({str(given / "data")!r}).read(), os.path.exists({str(secret)!r}), sorted(os.listdir({str(folder)!r})))
    for path in ("/etc/shadow", "/etc/passwd", "/root/.bashrc", {str(Path(caged.__file__))!r}):
        print(os.path.exists(path) and "root:" in open(path).read())
    for path in ({str(given / "data")!r}, {str(given / "more")!r}, "/usr/bin/env", "/usr/lib/new"):
        try: open(path, "a")
        except OSError as error: print(error.errno)
    """
    given.chmod(0o755)
    (given / "data").chmod(0o644)
    lines = said(code, workdir, STRICT, user=user, readable=(str(given),))
    assert lines[0] == "mine False ['given', 'workdir']"
    assert lines[1:5] == ["False"] * 4
    assert set(lines[5:]) <= {"13", "30"}  # no right, or a file system that nobody writes to
    assert len(lines) == 9


@needs_strict
def test_what_it_writes_is_limited_and_gone_with_it(workdir: Path, user: int | None) -> None:
    code = """
    import os
    written = 0
    for folder in (".", "/tmp", "/dev/shm", "/"):
        try:
            with open(os.path.join(folder, "filled"), "wb") as file:
                while True: written += file.write(b"x" * (1 << 16))
        except OSError as error: print(error.errno)
    print(written)
    """
    *refused, written = said(code, workdir, STRICT, user=user)
    assert set(refused) <= {"28", "13", "27"}  # no space, no right (in /), too large a file
    assert int(written) <= caged.SCRATCH_BYTES + (1 << 20)
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize("level", [pytest.param(STRICT, marks=needs_strict), PROCESS], ids=["strict", "process"])
def test_memory_that_no_limit_counts_is_not_to_be_had(level: Isolation, workdir: Path) -> None:
    code = """
    import mmap, os
    for ask in (lambda: mmap.mmap(-1, 1 << 20), lambda: os.memfd_create("x")):
        try: ask()
        except PermissionError: print("refused")
    print(len(mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)))
    """
    assert said(code, workdir, level) == ["refused", "refused", str(1 << 20)]


@needs_strict
def test_processes_and_threads_are_counted_for_itself(workdir: Path, user: int | None) -> None:
    code = """
    import os, signal
    children = []
    try:
        while len(children) < 1000:
            pid = os.fork()
            if pid == 0: signal.pause()
            children.append(pid)
    except BlockingIOError: print("no more")
    print(len(children))
    """
    said_, count = said(code, workdir, STRICT, user=user)
    assert said_ == "no more"
    assert int(count) == caged.TASKS - 1


@needs_strict
@pytest.mark.parametrize("network", [Network.NONE, Network.EGRESS], ids=["none", "egress"])
def test_without_a_network_it_reaches_nothing_but_itself(workdir: Path, user: int | None, network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
        import socket, struct
        for address in (("127.0.0.1", {server.getsockname()[1]}), ("192.0.2.1", 80)):
            try: print(socket.create_connection(address, timeout=5) is not None)
            except OSError as error: print(type(error).__name__, error.errno)
        mine = socket.create_server(("127.0.0.1", 0))
        print(socket.create_connection(mine.getsockname()) is not None)
        """
        assert said(code, workdir, STRICT, network, user=user) == [
            "ConnectionRefusedError 111", "OSError 101", "True",
        ]  # fmt: skip


@needs_strict
def test_connections_to_the_proxy_come_out_by_the_socket_that_went_out(workdir: Path, user: int | None) -> None:
    code = """
    import os, socket
    connection = socket.create_connection(("127.0.0.1", 3128), timeout=30)
    print(connection.recv(100).decode())
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(fd)) as held:
                if held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN): print("it could listen there itself")
        except OSError: pass
    """
    inside, outside = socket.socketpair()
    with inside, outside, ThreadPoolExecutor() as threads:
        running = threads.submit(said, code, workdir, STRICT, Network.EGRESS, user=user, proxy=inside.fileno())
        _data, (listener,), _flags, _address = socket.recv_fds(outside, 1, 1)
        with socket.socket(fileno=listener) as accepting, accepting.accept()[0] as connection:
            assert connection.getpeername()[0] == "127.0.0.1"
            connection.sendall(b"from outside")
            connection.shutdown(socket.SHUT_WR)
            assert running.result() == ["from outside"]


@needs_strict
def test_with_the_network_of_its_node_it_reaches_what_that_does(workdir: Path, user: int | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; print(socket.create_connection(('127.0.0.1', {server.getsockname()[1]})) is not None)"
        assert said(code, workdir, STRICT, Network.HOST, user=user) == ["True"]


def test_without_a_network_the_weaker_level_has_no_sockets_of_the_internet(workdir: Path) -> None:
    code = """
    import socket
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_VSOCK):
        try: socket.socket(family)
        except OSError as error: print(error.errno)
    print(len(socket.socketpair()))
    """
    assert said(code, workdir, PROCESS, Network.NONE) == ["97", "97", "97", "2"]


@pytest.mark.parametrize("level", [pytest.param(STRICT, marks=needs_strict), PROCESS], ids=["strict", "process"])
def test_files_grow_no_further_than_they_may_and_descriptors_are_few(level: Isolation, workdir: Path) -> None:
    code = """
    import resource
    names = ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_MSGQUEUE")
    print([resource.getrlimit(getattr(resource, name))[1] for name in names])
    """
    (limits,) = said(code, workdir, level)
    assert limits == str([caged.SCRATCH_BYTES, 4096, 0])


def test_what_cannot_be_entered_says_which_level_and_why(folder: Path) -> None:
    done = caged.run("print('in')", folder / "workdir", STRICT, readable=(str(folder), str(folder / "workdir")))
    assert done.stdout == ""
    assert "cage (strict) could not be entered" in done.stderr
