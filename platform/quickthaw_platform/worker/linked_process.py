"""A process of the platform's own code that the agent starts and talks to: the zygote, and the proxy of functions."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from quickthaw_platform.worker import frames
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.link import Link
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.processes import WatchedProcess

_KEPT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),  # not HF_TOKEN
)
_KEPT_PREFIXES = ("CUDA_", "GOMP_", "MKL_", "NVIDIA_", "OMP_", "TORCH_")


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what such a process has of the agent's environment: no credentials, since functions may read it."""
    return {name: value for name, value in inherited.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}


class LinkedProcess:
    """For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_frame: Callable[[Frame], None],
        on_death: Callable[[int | None], None],
    ) -> None:
        """Start `python -m MODULE CONTROL ARGUMENTS…`, CONTROL being the number of its end of the link.

        It is to end when the other end closes. `on_death` is called once, after the last frame, with its exit code,
        minus the number of a signal, or None where nobody knows it. Raises OSError where it cannot be started.
        """
        ours, theirs = frames.pair()
        try:
            with theirs:
                self._popen = _spawn([module, str(theirs.fileno()), *arguments], theirs.fileno(), environment)
        except OSError:
            ours.close()
            raise
        self._on_death = on_death
        self.link = Link(loop, ours, on_frame, lambda: None)
        self._watched = WatchedProcess(loop, self._popen.pid, self._died)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def kill(self) -> None:
        """End it without asking."""
        self._watched.kill()

    def _died(self, status: int | None) -> None:
        self.link.drain()
        self.link.close()
        with contextlib.suppress(ChildProcessError):
            self._popen.wait(0)
        self._on_death(status)


def _spawn(command: Sequence[str], control: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", *command],
        stdin=subprocess.DEVNULL,
        stdout=sys.__stderr__.fileno() if sys.__stderr__ else None,
        env=dict(environment),
        pass_fds=[control],
        start_new_session=True,  # Ctrl-C and a supervisor's signal to the group must not end it before the drain
    )
