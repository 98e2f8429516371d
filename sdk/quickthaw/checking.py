"""Runs a function's file as an instance would, in a process of its own that has nothing but the bundle.

`python -m quickthaw.checking FILE OBJECT` is that process; its working directory is the folder. It ends with the status
CHECKED where the handler is there: code that ends the process by itself can do so with any other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from quickthaw import folder
from quickthaw.errors import InvalidSource
from quickthaw.types import FunctionSpec

CHECKED = 90


def check(spec: FunctionSpec) -> None:
    """Import the bundle alone and look for the handler in it; InvalidSource has what Python says.

    Packages are those of this machine: whether a node has them is not known before a start.
    """
    if spec.handler is None:
        return
    with tempfile.TemporaryDirectory(prefix="quickthaw-check-") as place:
        for name, text in spec.source.items():
            file = Path(place, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        command = [sys.executable, "-P", "-m", "quickthaw.checking", spec.handler.file, spec.handler.object]
        environment = {**os.environ, **spec.env}
        ran = subprocess.run(command, cwd=place, env=environment, stderr=subprocess.PIPE, check=False)
    if ran.returncode != CHECKED:
        said = ran.stderr.decode(errors="replace").strip().replace(f"{place}/", "") or _end(ran.returncode)
        raise InvalidSource(f"{spec.name}: its bundle does not run by itself: {said}")


def _end(status: int) -> str:
    """Say how a process ended that said nothing; a negative status is a signal's number."""
    return f"it is killed by signal {-status}" if status < 0 else f"it exits with status {status}"


def main(file: str, name: str) -> None:
    """Run the file in the working directory; exits with status 1 and the cause where there is no such handler."""
    place = Path.cwd()
    sys.path.insert(0, str(place))
    try:
        found = getattr(folder.run(place, file), name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the user's own code can raise anything
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(place))]
        where = f"{lines[-1].filename}, line {lines[-1].lineno}: " if lines else ""
        sys.exit(f"{where}{type(error).__name__}: {error}")
    if not callable(found):
        sys.exit(f"{file} does not hold {name!r}")
    sys.exit(CHECKED)


if __name__ == "__main__":
    main(*sys.argv[1:])
