"""The folder of a function: the one that its file lies in. How the file is run, and what it finds there.

The same at deploy, in `.local()` and in an instance: relative paths begin there, the folder comes first on the search
path, and it is a package too, so that both `import helpers` and `from .helpers import …` find what lies in it. The
folder's `__init__.py` is run by the latter.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PACKAGE = "quickthaw_user"
"""What the folder is called as a package; a file `haiku.py` in it is the module `quickthaw_user.haiku`."""

_RELATIVE_IMPORT = re.compile(r"^[ \t]*from[ \t]+\.", re.MULTILINE)


class FolderFinder:
    """Finds the package PACKAGE in one folder: Python's import asks it when something is imported relatively."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = frozenset(sys.modules)

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the package is; None for any other module."""
        if fullname != PACKAGE:
            return None
        places = [str(self.folder)]
        first = self.folder / "__init__.py"
        if first.is_file():
            return importlib.util.spec_from_file_location(PACKAGE, first, submodule_search_locations=places)
        package = ModuleSpec(PACKAGE, None, is_package=True)
        package.submodule_search_locations = places
        return package

    def forget(self) -> None:
        """Let another folder's modules of the same names be imported from now on."""
        sys.meta_path.remove(self)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            mine = file is not None and name not in self.before and Path(file).is_relative_to(self.folder)
            if mine or name.partition(".")[0] == PACKAGE:
                del sys.modules[name]


def run(folder: Path, file: str) -> ModuleType:
    """Run `file`, a path under `folder`, as a module and return it; raises what the file raises.

    Modules of a folder that was run before are forgotten: another folder's `helpers` is another module.
    """
    forget_modules()
    sys.meta_path.insert(0, FolderFinder(folder))
    importlib.invalidate_caches()
    name = _module_name(file)
    if (folder / "__init__.py").is_file() and _RELATIVE_IMPORT.search((folder / file).read_text(encoding="utf-8")):
        importlib.import_module(PACKAGE)  # first, as in any package: it may import the file itself
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, folder / file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up while it runs
    spec.loader.exec_module(module)
    return module


def _module_name(file: str) -> str:
    """Return what a file of the folder is called as a module; a dot in its name would mean a package."""
    return f"{PACKAGE}.{file.removesuffix('.py').replace('.', '_').replace('/', '.')}"


def forget_modules() -> None:
    """Let go of the modules of the folder that was run last."""
    for finder in [finder for finder in sys.meta_path if isinstance(finder, FolderFinder)]:
        finder.forget()


@contextmanager
def entered(folder: Path | None) -> Iterator[None]:
    """Let relative paths begin in the folder, and imports look there first; None changes nothing."""
    if folder is None:
        yield
        return
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)
