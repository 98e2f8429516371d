"""Folders in settings: a path with a leading ~, and several folders in one text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def read_folders(value: object) -> object:
    """Return the folders of a text, with colons between them as in PATH. Anything but a text is returned as it is."""
    return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value


def _at_home(folder: Path) -> Path:
    """Return the folder that a path with a leading ~ means, which no shell has replaced in a setting."""
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{folder.parts[0]} is nobody's home directory; write the whole path") from error


Folder = Annotated[Path, AfterValidator(_at_home)]
"""The type of a setting that is one folder."""
