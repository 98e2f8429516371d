"""Where a process' group is, by what kernels say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.control_groups.place import folder_of

UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
BOUND = "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
ODD = "41 31 0:38 / /mnt/my\\040groups rw - cgroup2 none rw\n"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "folder"),
    [
        pytest.param("0::/system.slice/q.service\n", UNIFIED, "/sys/fs/cgroup/system.slice/q.service", id="systemd"),
        pytest.param("4:memory:/a\n0::/\n", HYBRID, "/sys/fs/cgroup/unified", id="hybrid"),
        pytest.param("0::/docker/abc/q\n", BOUND, "/sys/fs/cgroup/q", id="a part of it is mounted"),
        pytest.param("0::/../other\n", BOUND, None, id="another part of it is mounted"),
        pytest.param("0::/q\n", ODD, "/mnt/my groups/q", id="a blank in the path"),
        pytest.param("4:memory:/a\n", HYBRID, None, id="only version 1"),
        pytest.param("0::/q\n", "", None, id="not mounted"),
    ],
)
def test_the_folder_of_a_group_follows_from_the_mount(cgroup: str, mountinfo: str, folder: str | None) -> None:
    assert folder_of(cgroup, mountinfo) == (None if folder is None else Path(folder))
