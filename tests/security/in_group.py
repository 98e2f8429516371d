"""Runs one of the programs of this folder in a control group and returns what it found: `bounded`, `grouped`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from quickthaw.types import Isolation
from tests.security import caged

PATIENCE_SECONDS = 100.0


def found_by(program: str, group: Path, level: Isolation, user: int, workdir: Path) -> dict[str, Any]:
    """Return what became of the program's instances: see its `main`."""
    workdir.mkdir()
    os.chown(workdir, user, user)
    command = [sys.executable, "-m", program, str(group), level.value, str(user), str(workdir)]
    done = subprocess.run(
        command, cwd=caged.ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
