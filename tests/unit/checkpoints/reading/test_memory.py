from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.reading import kernel_memory
from quickthaw_platform.checkpoints.reading.kernel_memory import KernelMemory, memfd_may_be_huge
from quickthaw_platform.checkpoints.reading.memory import HUGE_BYTES, Block, MemoryPool
from tests.small_files import files_of_at_most


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


PLAIN = KernelMemory("memfd", lambda: os.memfd_create("test"))
KINDS = [kernel_memory.best(), PLAIN]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def pool(request: pytest.FixtureRequest) -> Iterator[MemoryPool]:
    pool = MemoryPool(request.param)
    yield pool
    pool.close()


@pytest.mark.parametrize("size", [0, 1, 4096, HUGE_BYTES - 1, HUGE_BYTES, HUGE_BYTES + 1])
def test_a_block_is_as_large_as_asked_for(pool: MemoryPool, size: int) -> None:
    block = pool.take(size)
    assert block.bytes == len(block.view) == size
    block.view[:] = b"x" * size
    assert os.pread(block.fd, size, 0) == b"x" * size


class WithoutHugePages(mmap.mmap):
    """As below a kernel that was built without them."""

    def madvise(self, option: int, start: int = 0, length: int = 0) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def test_a_kernel_without_huge_pages_gives_a_block_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", WithoutHugePages)
    block = Block(os.memfd_create("test"), 5)
    block.view[:] = b"bytes"
    assert os.pread(block.fd, 5, 0) == b"bytes"
    block.close()


def test_a_block_given_back_is_used_again_and_grows(pool: MemoryPool) -> None:
    small, large = pool.take(HUGE_BYTES), pool.take(4 * HUGE_BYTES)
    pool.give_back(small)
    pool.give_back(large)
    assert pool.take(2 * HUGE_BYTES) is large  # the smallest with room
    assert len(large.view) == 2 * HUGE_BYTES
    assert pool.take(8 * HUGE_BYTES) is small  # none has room, so the largest free one grows
    assert pool.held_bytes == 12 * HUGE_BYTES


def test_what_grows_keeps_what_it_held(pool: MemoryPool) -> None:
    block = pool.take(HUGE_BYTES)
    block.view[:5] = b"hello"
    pool.give_back(block)
    assert bytes(pool.take(3 * HUGE_BYTES).view[:5]) == b"hello"


def test_prepared_memory_is_there_before_it_is_touched(pool: MemoryPool) -> None:
    pool.prepare(3 * HUGE_BYTES)
    block = pool.take(2 * HUGE_BYTES)
    assert block.faulted_bytes == 3 * HUGE_BYTES
    assert os.fstat(block.fd).st_blocks * 512 >= 3 * HUGE_BYTES
    assert pool.held_bytes == 3 * HUGE_BYTES


def test_preparing_stops_when_it_is_told_to(pool: MemoryPool) -> None:
    pool.prepare(HUGE_BYTES, stop=lambda: True)
    assert pool.take(1).faulted_bytes == 0


def test_trimming_frees_what_is_free_and_no_more(pool: MemoryPool) -> None:
    kept = pool.take(HUGE_BYTES)
    for block in [pool.take(HUGE_BYTES), pool.take(2 * HUGE_BYTES)]:
        pool.give_back(block)
    pool.trim(2 * HUGE_BYTES)
    assert pool.held_bytes == 2 * HUGE_BYTES
    pool.trim(0)
    assert pool.held_bytes == HUGE_BYTES
    assert len(kept.view) == HUGE_BYTES


def test_another_process_maps_the_same_bytes_and_so_does_a_fork(pool: MemoryPool) -> None:
    block = pool.take(HUGE_BYTES)
    block.view[:5] = b"hello"
    code = f"print(open('/proc/{os.getpid()}/fd/{block.fd}', 'rb').read(5).decode())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "hello\n"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, bytes(block.view[:5]))
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 5) == b"hello"
    os.close(reader)
    os.waitpid(child, 0)


def test_a_mapping_outlives_its_block(pool: MemoryPool) -> None:
    block = pool.take(HUGE_BYTES)
    block.view[:5] = b"hello"
    with Path(f"/proc/self/fd/{block.fd}").open("rb") as opened:
        mapping = mmap.mmap(opened.fileno(), HUGE_BYTES, prot=mmap.PROT_READ)
    pool.close()
    assert mapping[:5] == b"hello"
    mapping.close()


def test_a_kernel_without_room_leaves_the_pool_as_it_was() -> None:
    pool = MemoryPool(PLAIN)
    held = pool.take(HUGE_BYTES)
    before = descriptors()
    with files_of_at_most(HUGE_BYTES), pytest.raises(OSError) as caught:
        pool.take(8 * HUGE_BYTES)
    assert caught.value.errno == errno.EFBIG
    assert descriptors() == before
    assert pool.held_bytes == held.room_bytes
    pool.close()


def test_a_block_that_cannot_grow_stays_as_it_was(pool: MemoryPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, size: int) -> mmap.mmap:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    block = pool.take(HUGE_BYTES)
    block.view[:5] = b"hello"
    pool.give_back(block)
    with monkeypatch.context() as patched:
        patched.setattr(mmap, "mmap", refuse)
        with pytest.raises(OSError, match="Cannot allocate memory"):
            pool.take(4 * HUGE_BYTES)
    assert pool.held_bytes == HUGE_BYTES
    assert pool.take(HUGE_BYTES) is block
    assert bytes(block.view[:5]) == b"hello"


def test_memory_has_no_limit_but_the_machines() -> None:
    """A tmpfs would otherwise end at half of it."""
    found = kernel_memory.best.__wrapped__()
    fd = found.make()
    assert os.fstatvfs(fd).f_blocks == 0  # how a tmpfs without a limit is shown; a memfd has none either
    os.close(fd)


@pytest.mark.parametrize(
    ("setting", "huge"),
    [
        ("always within_size [advise] never deny force", True),
        ("[always] within_size advise never deny force", True),
        ("always within_size advise [never] deny force", False),
        ("always within_size advise never [deny] force", False),
    ],
)
def test_huge_pages_are_asked_for_where_the_machine_gives_them(tmp_path: Path, setting: str, huge: bool) -> None:
    (tmp_path / "shmem_enabled").write_text(setting)
    assert memfd_may_be_huge(tmp_path / "shmem_enabled") is huge


def test_a_kernel_without_huge_pages_has_no_such_setting(tmp_path: Path) -> None:
    assert not memfd_may_be_huge(tmp_path / "none")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EINVAL])
def test_where_no_tmpfs_may_be_made_a_memfd_serves(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse() -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr(kernel_memory, "_detached_tmpfs", refuse)
    found = kernel_memory.best.__wrapped__()
    assert found.kind in ("memfd", "memfd-huge")
    block = Block(found.make(), 10)
    block.view[:] = b"0123456789"
    block.close()


def test_a_small_dev_shm_does_not_matter() -> None:
    """In a mount namespace whose /dev/shm has 64 MB, a block of 128 MB is filled."""
    code = (
        "from quickthaw_platform.checkpoints.reading.memory import MemoryPool\n"
        "block = MemoryPool().take(128 << 20); block.fault_in(); print(block.faulted_bytes)"
    )
    shell = f'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "{sys.executable}" -c "{code}"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", shell], capture_output=True, text=True, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.stdout == f"{128 << 20}\n", done.stderr
