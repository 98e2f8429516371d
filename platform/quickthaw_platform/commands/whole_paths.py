"""Where the files and folders of settings are, for processes that work in another folder than `quickthaw up`."""

from __future__ import annotations

import os
from pathlib import Path

from quickthaw_platform.settings import CONFIG_VARIABLE, ENV_PREFIX, Settings, config_file


def whole_paths(settings: Settings) -> dict[str, str]:
    """Return the variables of all settings that name files or folders; none of their paths is relative."""
    paths = {ENV_PREFIX + name.upper(): _joined(value) for name, value in settings}
    if settings.remote is not None:
        paths[f"{ENV_PREFIX}REMOTE"] = settings.remote
    if config_file().is_file():
        paths[CONFIG_VARIABLE] = str(config_file().absolute())
    return {name: path for name, path in paths.items() if path}


def _joined(value: object) -> str:
    """Return a setting's folders as a variable has them; of a setting without any, nothing."""
    folders = value if isinstance(value, tuple) else (value,)
    return os.pathsep.join(str(folder) for folder in folders if isinstance(folder, Path))
