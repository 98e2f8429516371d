from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.reading import residency
from quickthaw_platform.checkpoints.reading.residency import PAGE_BYTES, resident_bytes, resident_in
from tests.unit.checkpoints.reading.files import content

SIZE = 3 * PAGE_BYTES + 5


@pytest.fixture(params=[0, errno.ENOSYS, errno.EPERM], ids=["cachestat", "before Linux 6.5", "refused by a filter"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the page cache, seen by each way of asking."""

    def missing(handle: int, begin: int, size: int) -> int:
        raise OSError(request.param, os.strerror(request.param))

    if request.param:
        monkeypatch.setattr(residency, "_by_cachestat", missing)
    file = tmp_path / "weights"
    file.write_bytes(content(SIZE))
    return file


@pytest.mark.parametrize(
    ("begin", "end", "resident"),
    [
        (0, None, SIZE),  # whole: no more than the file has, though the last page is counted whole
        (PAGE_BYTES, 2 * PAGE_BYTES, PAGE_BYTES),  # a page
        (1, 11, 10),  # less than a page, not at its beginning
        (5, 5, 0),  # nothing
        (2 * PAGE_BYTES, 9 * PAGE_BYTES, PAGE_BYTES + 5),  # beyond the end, as of a file that is cut off
        (SIZE + PAGE_BYTES, SIZE + 2 * PAGE_BYTES, 0),  # all of it beyond the end
    ],
)
def test_what_was_just_written_is_resident(path: Path, begin: int, end: int | None, resident: int) -> None:
    assert resident_bytes(path, begin, end) == resident


def test_an_empty_file_has_nothing_resident(path: Path) -> None:
    path.write_bytes(b"")
    assert resident_bytes(path) == 0


def test_both_ways_of_asking_agree_on_a_half_resident_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content(64 * PAGE_BYTES))
    handle = os.open(path, os.O_RDWR)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 32 * PAGE_BYTES, os.POSIX_FADV_DONTNEED)
    size = 64 * PAGE_BYTES
    assert residency._by_cachestat(handle, 0, size) == residency._by_mincore(handle, 0, size)
    assert resident_in(handle, 32 * PAGE_BYTES, 32 * PAGE_BYTES) == 32 * PAGE_BYTES
    os.close(handle)
