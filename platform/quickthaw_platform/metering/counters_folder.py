"""The folder in which all processes of a machine keep what they counted: PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from quickthaw_platform.errors import SettingsInvalid

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare(environment: MutableMapping[str, str]) -> None:
    """Make the folder that the variable names; an empty variable is none. SettingsInvalid where it cannot be made.

    An empty one would put the counters of each process into its working directory.
    """
    named = environment.get(VARIABLE, "").strip()
    if not named:
        environment.pop(VARIABLE, None)
        return
    try:
        Path(named).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsInvalid(f"{VARIABLE}={named} is no folder that can be made: {error.strerror}") from error
