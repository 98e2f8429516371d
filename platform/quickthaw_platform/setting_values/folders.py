"""Folders in settings: relative paths, a path with a leading ~, and several folders in one text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def read_folders(value: object) -> object:
    """Return the folders of a text, with colons between them as in PATH. Anything but a text is returned as it is."""
    return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value


def _whole(folder: Path) -> Path:
    """Return a folder's whole path: a leading ~ is one that no shell has replaced, and relative is to where we are."""
    try:
        return folder.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{folder.parts[0]} is nobody's home directory; write the whole path") from error


Folder = Annotated[Path, AfterValidator(_whole)]
"""The type of a setting that is one folder."""


def _whole_or_url(place: str) -> str:
    return place if urlsplit(place).scheme else str(_whole(Path(place)))


FolderOrUrl = Annotated[str, AfterValidator(_whole_or_url)]
"""The type of a setting that is one folder or the URL of a store."""
