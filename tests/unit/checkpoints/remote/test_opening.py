from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from quickthaw_platform.checkpoints.remote.opening import open_store


def test_a_directory_is_found_again_by_its_url(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "two words, 50%20"))
    store.put("a", b"x")
    assert store.url.startswith("file:///")
    assert open_store(store.url).list() == store.list() != []


def test_boto3_is_imported_only_for_s3(tmp_path: Path) -> None:
    code = (
        "import sys; from quickthaw_platform.checkpoints.remote.opening import open_store; "
        f"open_store({str(tmp_path)!r}).list(); print('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
