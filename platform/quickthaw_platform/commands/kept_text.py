"""Texts that are made once and kept in a file that only its owner reads: passwords and keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def kept(file: Path, make: Callable[[], str]) -> str:
    """Return the text of a file, which is made where there is none; it is there whole or not at all.

    One that is empty is what a full disk left behind, and is made anew.
    """
    try:
        if text := file.read_text():
            return text
    except FileNotFoundError:
        pass
    text, staged = make(), file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        staged.touch(mode=0o600)
        staged.write_text(text)
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
    return text
