"""TOML files that people write, on whatever system."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from quickthaw_platform.errors import SettingsInvalid


def read_toml(file: Path) -> dict[str, Any]:
    """Return what a file says; SettingsInvalid names the file and says what to do where that cannot be read.

    A byte order mark, which editors on Windows put before the text, is passed over.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsInvalid(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{file} is not text in UTF-8 ({error.reason}); save it as that") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{file} is not valid TOML: {error}") from error
