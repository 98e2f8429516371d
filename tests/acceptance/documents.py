"""Documents as a newcomer follows them: their commands, in order, and a clone and terminals to run them in.

What is replaced of what a page says, and nothing else:

* `git clone REPOSITORY FOLDER` copies the working tree: what git knows, or would take.
* `python3 -m venv FOLDER` links the virtual environment that the tests run in, and `make` takes it as installed. The
  code is that of the clone.
* `pip install …` checks that what it names is installed here.
* Ports are free ones, and the home directory is empty.
* What runs until Ctrl-C (`quickthaw up`, `make up`, `honcho start`) runs in a terminal of its own, while the page goes
  on in another; `quickthaw logs -f` gets its Ctrl-C after a few seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.acceptance.cluster import ROOT, wait_for
from tests.patience import PATIENCE_SECONDS

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE_NAMED_BEFORE = re.compile(r"Put this into `(\S+\.py)`")
FILE_NAMED_WITHIN = re.compile(r"^# (\S+\.py)\n")
UNTIL_INTERRUPT = ("quickthaw up", "make up", "honcho start")
FOLLOWED_SECONDS = 4
STOPPED_SECONDS = 90.0

PRELUDE = f"""
set -euo pipefail
git() {{ [ "$1 $2" = "clone REPOSITORY" ] && cp -a "$REPOSITORY" "$3"; }}
python3() {{ if [ "$1 $2" = "-m venv" ]; then ln -sfn "$ENVIRONMENT" "$3"; else command python3 "$@"; fi; }}
make() {{ ln -sfn "$ENVIRONMENT" .venv; command make --old-file .venv/.installed "$@"; }}
pip() {{ python -P "$INSTALLED" "$@"; }}
quickthaw() {{
  case " $* " in
    *" -f "*) timeout --signal=INT {FOLLOWED_SECONDS} quickthaw "$@" || [ $? -eq 124 ];;
    *) command quickthaw "$@";;
  esac
}}
"""
"""What every terminal begins with."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page; `file` is where the page says to put it."""

    language: str
    code: str
    file: str | None

    def script(self) -> str:
        """Return how a terminal runs it."""
        if self.file is not None:
            return f"cat > {self.file} <<'END'\n{self.code}END\n"
        if self.language == "python":
            return f"python - <<'END'\n{self.code}END\n"
        return self.code


def blocks(page: str) -> Iterator[Block]:
    """Give the commands (sh) and programs (python) of a page in order."""
    end = 0
    for found in BLOCK.finditer(page):
        before, end = page[end : found.start()], found.end()
        language, code = found.groups()
        named = FILE_NAMED_WITHIN.match(code) or FILE_NAMED_BEFORE.search(before)
        if language in ("sh", "python"):
            yield Block(language, code, named[1] if named else None)


def copy_working_tree(target: Path) -> None:
    """Copy what a clone has once everything here is committed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@dataclass(frozen=True, slots=True)
class Machine:
    """A newcomer's machine: an empty home directory, and the repository that is cloned."""

    folder: Path
    settings: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of each terminal."""
        clone = self.folder / "quickthaw"
        code = [str(clone / part) for part in ("sdk", "platform", "backends")]
        return {
            **os.environ,
            "HOME": str(self.folder / "home"),
            "REPOSITORY": str(self.folder / "repository"),
            "ENVIRONMENT": sys.prefix,
            "INSTALLED": str(ROOT / "tests" / "acceptance" / "installed.py"),
            "PYTHONPATH": os.pathsep.join(code),
            "TERM": "dumb",
            **self.settings,
        }

    def set_up(self) -> None:
        """Make the home directory and the repository."""
        (self.folder / "home").mkdir(parents=True)
        copy_working_tree(self.folder / "repository")

    def run(self, script: str, seconds: float) -> str:
        """Run a script in a terminal and return what it printed; AssertionError where a command fails."""
        with Terminal(self, script, "second") as terminal:
            status = terminal.wait(seconds)
            assert status == 0, f"ended with {status}:\n{terminal.output()}"
            return terminal.output()


class Terminal:
    """A shell in a session of its own, as one has it in a window."""

    def __init__(self, machine: Machine, script: str, name: str) -> None:
        self._log = machine.folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", PRELUDE + script],
                cwd=machine.folder,
                env=machine.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def output(self) -> str:
        """Return what was printed so far."""
        return self._log.read_text(errors="replace")

    def wait(self, seconds: float) -> int:
        """Wait for the end of the shell and return its exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not done after {seconds} s:\n{self.output()}") from None

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait until something is printed; AssertionError where the shell ends before."""

        def printed() -> bool:
            assert self._process.poll() is None, f"ended:\n{self.output()}"
            return text in self.output()

        wait_for(printed, f"{text!r} in the terminal", seconds)

    def interrupt(self) -> list[psutil.Process]:
        """Press Ctrl-C, wait for the end of all, and return the processes that are left: there should be none."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        os.killpg(self._process.pid, signal.SIGINT)
        self.wait(STOPPED_SECONDS)
        return psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1]

    def close(self) -> None:
        """End what has not ended, whatever became of the page."""
        if self._process.poll() is None:
            children = psutil.Process(self._process.pid).children(recursive=True)
            for process in (*children, psutil.Process(self._process.pid)):
                process.terminate()
            for left in psutil.wait_procs(children, timeout=STOPPED_SECONDS)[1]:
                left.kill()
            self._process.wait(PATIENCE_SECONDS)
