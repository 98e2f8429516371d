"""What an instance may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw.types import FunctionSpec, Version
from quickthaw_platform.worker import bundles, sandbox, zygote_client


def test_an_instance_inherits_nothing_but_path_language_and_the_choice_of_devices() -> None:
    inherited = {
        "PATH": "/bin",
        "LANG": "de_DE.UTF-8",
        "QUICKTHAW_REDIS_URL": "redis://:pw@h",
        "HOME": "/root",
        "CUDA_VISIBLE_DEVICES": "3",
        "X": "1",
    }
    assert sandbox.environment(inherited, Path("/work"), {"MODE": "a"}) == {
        "PATH": "/bin",
        "LANG": "de_DE.UTF-8",
        "CUDA_VISIBLE_DEVICES": "3",
        "HOME": "/work",
        "TMPDIR": "/work",
        "MODE": "a",
    }


def test_a_functions_own_variables_win() -> None:
    assert sandbox.environment({"PATH": "/bin"}, Path("/w"), {"PATH": "/mine"})["PATH"] == "/mine"


def test_the_zygote_gets_no_credentials() -> None:
    inherited = {"PATH": "/bin", "QUICKTHAW_REDIS_URL": "x", "AWS_SECRET_ACCESS_KEY": "x", "OMP_NUM_THREADS": "2"}
    assert zygote_client.environment(inherited) == {
        "PATH": "/bin",
        "OMP_NUM_THREADS": "2",
        "GOMP_SPINCOUNT": "2000",
    }


def test_whether_compute_threads_spin_can_be_set() -> None:
    for chosen in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "5"}):
        assert zygote_client.environment(chosen) == chosen


def test_data_bytes_reads_what_the_kernel_writes() -> None:
    assert sandbox.data_bytes("Name:\tx\nVmPeak:\t  9 kB\nVmData:\t   1024 kB\n") == 1 << 20
    with pytest.raises(ValueError, match="VmData"):
        sandbox.data_bytes("Name:\tx\n")


def version(source: dict[str, str]) -> Version:
    spec = FunctionSpec(name="f", model="m", source=source)
    return Version(id="abc", function="f", number=1, checkpoint="c", created_at=0, spec=spec)


def test_a_bundle_is_unpacked_once_and_whole(tmp_path: Path) -> None:
    source = {"function.py": "x = 'é'\n", "lib/inner/helper.py": ""}
    folder = bundles.materialise(tmp_path / "bundles", version(source))
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.py")} == set(source)
    assert (folder / "function.py").read_text(encoding="utf-8") == source["function.py"]
    assert bundles.materialise(tmp_path / "bundles", version({})) == folder
    assert [p.name for p in (tmp_path / "bundles").iterdir()] == ["abc"]


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        bundles.materialise(tmp_path, version({"a" * 300: ""}))
    assert list(tmp_path.iterdir()) == []
