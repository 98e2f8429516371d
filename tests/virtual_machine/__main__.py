"""Runs tests below a kernel that has all controllers of control groups: `make test-control-groups`.

The kernel is User-Mode Linux, an ordinary process: neither root nor a virtual processor is needed, and nothing is
installed. Inside, the tests are root.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.virtual_machine import kernel

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv" / "user-mode-linux"
TESTS = tuple(f"tests/security/test_control_group{name}.py" for name in ("s", "s_delegated", "_limits", "s_at_work"))
SECONDS = 1800.0
"""How long the machine may run."""


def main(arguments: list[str]) -> int:
    """Run pytest inside with arguments, or else the tests of control groups; return its status, or 1."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the machine would go on
    with tempfile.TemporaryDirectory(prefix="quickthaw-shared-") as shared:
        status = Path(shared, "status")
        Path(shared, "arguments").write_text("\n".join(arguments or TESTS))
        first = Path(__file__).with_name("first.sh")
        try:
            kernel.fetch(FOLDER)
            kernel.run(FOLDER, first, seconds=SECONDS, interpreter=sys.executable, shared=shared)
        except kernel.KernelAbsent as error:
            print(f"there is no kernel to run the tests below: {error}", file=sys.stderr)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"the virtual machine did not end well: {error}", file=sys.stderr)
        return int(status.read_text()) if status.exists() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
