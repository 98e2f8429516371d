"""Whether torch, as it is installed here, can compute on the device that a worker is to offer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass

from quickthaw_platform.errors import SettingsInvalid

PROBE_SECONDS = 120.0
_PROBE = (
    "import json, torch; print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda, "
    "'devices': torch.cuda.device_count()}))"
)
_KNOWN = re.compile(r"cpu|cuda:\d+")
_BUILDS = "pytorch.org/get-started shows the pip command for your driver"


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """What torch says of itself: version, the CUDA version that it was built for (None: a CPU build), devices."""

    version: str
    cuda: str | None
    devices: int


def require_device(device: str) -> None:
    """Raise SettingsInvalid, with what to do, where instances of this node could not start on `device`."""
    if not _KNOWN.fullmatch(device):
        raise SettingsInvalid(f"device {device!r} is not known; write cpu or cuda:N, with N from 0 on")
    if device == "cpu":
        return
    problem = device_problem(device, torch_facts())
    if problem is not None:
        raise SettingsInvalid(problem)


def device_problem(device: str, facts: TorchFacts | None) -> str | None:
    """Return what is in the way of a CUDA device, and what to do; None where nothing is. Facts None: no torch."""
    if facts is None:
        return f"device {device} needs torch, which cannot be imported here; install a CUDA build of it: {_BUILDS}"
    if facts.cuda is None:
        return (
            f"device {device} needs a CUDA build of torch, and torch {facts.version} is a build for CPUs; install the "
            f"other one: {_BUILDS}"
        )
    if facts.devices == 0:
        return (
            f"device {device}: torch {facts.version} (CUDA {facts.cuda}) finds no CUDA device; see what `nvidia-smi` "
            "says, and CUDA_VISIBLE_DEVICES"
        )
    if int(device.removeprefix("cuda:")) >= facts.devices:
        return f"device {device} is not there: torch finds {facts.devices}, from cuda:0 to cuda:{facts.devices - 1}"
    return None


def torch_facts() -> TorchFacts | None:
    """Ask torch in a process of its own, for it takes seconds and much memory; None where it cannot be imported."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
        return TorchFacts(**json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None
