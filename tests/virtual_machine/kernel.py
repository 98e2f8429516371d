"""User-Mode Linux, a kernel that runs as an ordinary process: Debian's package, unpacked into a folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

PACKAGE = "user-mode-linux"
MEMORY = "3G"

_PROGRAM = Path("usr/bin/linux.uml")
_PRELOADED = "extended_state.so"
_SOURCE = Path(__file__).with_name("extended_state.c")


class KernelAbsent(Exception):
    """It cannot be had here; the text says why."""


def fetch(folder: Path) -> None:
    """Download the package and unpack it below `folder`, once; nothing is installed. Raises KernelAbsent."""
    if (folder / _PRELOADED).exists():
        return
    for tool in ("apt-get", "dpkg-deb", "cc"):
        if shutil.which(tool) is None:
            raise KernelAbsent(f"there is no {tool} here, and {PACKAGE} is Debian's and needs a little C beside it")
    folder.mkdir(parents=True, exist_ok=True)
    _run("apt-get", "download", PACKAGE, cwd=folder)
    for archive in folder.glob("*.deb"):
        _run("dpkg-deb", "--extract", archive.name, ".", cwd=folder)
        archive.unlink()
    _run("cc", "-O2", "-shared", "-fPIC", "-o", _PRELOADED, str(_SOURCE), cwd=folder)


def run(folder: Path, first: Path, *, seconds: float, **variables: str) -> None:
    """Run the kernel with the program `first` as process 1, until that ends the machine; what it prints is printed.

    `variables` are in its environment. Its files are this machine's, mounted to be read only. Raises
    subprocess.TimeoutExpired and CalledProcessError.
    """
    command = [str(folder / _PROGRAM), "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"mem={MEMORY}"]
    command += ["con0=fd:0,fd:1", "con=null", "loglevel=1", f"init={first}"]
    command += [f"{name}={value}" for name, value in variables.items()]
    environment = os.environ | {"LD_PRELOAD": str(folder / _PRELOADED)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True) as kernel:
        try:
            status = kernel.wait(seconds)
        except BaseException:
            os.killpg(kernel.pid, signal.SIGKILL)  # its processes are processes out here
            raise
    if status != 0:
        raise subprocess.CalledProcessError(status, command)


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise KernelAbsent(f"{' '.join(command[:2])} failed: {said} (`apt-get update` may help)")
