"""In place of `pip install` (see `documents`): say whether what it is asked for is installed.

`python installed.py install -c constraints.txt '.[platform]' openai`, in the folder where pip would run.
"""

from __future__ import annotations

import sys
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement

OWN = "quickthaw"


def main(folder: Path, arguments: list[str]) -> None:
    """Exit with a message where a constraint file or a package is not there."""
    action, flag, constraints, *wanted = arguments
    if (action, flag) != ("install", "-c"):
        sys.exit(f"pip {' '.join(arguments)}: this page installs without constraints")
    pinned = (folder / constraints).read_text()
    for text in wanted:
        if text.startswith("."):
            check_own(folder, Requirement(OWN + text.removeprefix(".")))
        elif f"\n{text}=={version(text)}\n" not in f"\n{pinned}":
            sys.exit(f"{text} {version(text)} is installed, and {constraints} has another")


def check_own(folder: Path, wanted: Requirement) -> None:
    """Check that the clone can be installed, and that what its extras need is there."""
    if not (folder / "setup.cfg").is_file():
        sys.exit("nothing that pip could install is here")
    known = requires(OWN) or []
    for extra in wanted.extras:
        needed = [Requirement(text) for text in known if f'extra == "{extra}"' in text]
        if not needed:
            sys.exit(f"{OWN} has no extra {extra!r}")
        for requirement in needed:
            version(requirement.name)  # raises where it is missing


if __name__ == "__main__":
    main(Path(), sys.argv[1:])
