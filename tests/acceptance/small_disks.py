"""A platform whose data, and whose Valkey's, lie on small disks of their own, so that tests can fill them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from quickthaw import FunctionSpec
from tests.acceptance.cluster import Cluster, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model

DATA_MEBIBYTES = 128
VALKEY_MEBIBYTES = 24
WARM = ("quick", "streams")


class SmallDisks(Cluster):
    """Its disks are ordinary folders where this machine lets us mount nothing; `refusal` says why."""

    def __init__(self, data_dir: Path) -> None:
        self.refusal = _mount(data_dir, DATA_MEBIBYTES)
        super().__init__(data_dir, preload="none")
        if not self.refusal:
            assert not _mount(self.valkey.folder, VALKEY_MEBIBYTES)
        write_echo_model(data_dir / "checkpoints", "tiny")

    def need_disks(self) -> None:
        """Skip the test where there are none."""
        if self.refusal:
            pytest.skip(f"a full disk takes a mount, and this machine allows none: {self.refusal}")

    def deploy(self, name: str, **options: str) -> None:
        """Deploy a function of the echo engine that stays."""
        spec = FunctionSpec(name=name, model="tiny", engine="echo", memory=16 << 20, keep_alive=600.0, options=options)
        self.client.deploy(spec)

    def deploy_warm(self) -> None:
        """Deploy `quick` and `streams` (30 tokens a second), and call them."""
        wait_for_checkpoints(self, 1)
        self.deploy("quick")
        self.deploy("streams", token_delay="30ms")
        for name in WARM:
            assert self.client.invoke(name, {"prompt": "thaw"}).result == "thaw"

    def down(self) -> list[psutil.Process]:
        """End everything, and take the disks away."""
        try:
            return super().down()
        finally:
            if not self.refusal:
                for folder in (self.valkey.folder, self.data_dir):
                    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def fill(folder: Path) -> Iterator[None]:
    """Fill the disk that a folder is on."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))
    try:
        yield
    finally:
        ballast.unlink()


def _mount(folder: Path, mebibytes: int) -> str:
    """Put a small file system under a folder; returns why that is not possible, '' when it was done."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or "mount failed" if done.returncode else ""
