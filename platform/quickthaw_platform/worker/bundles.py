"""The source of versions, unpacked on the node: one folder a version, complete or absent."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from quickthaw.types import Version


def materialise(bundles_dir: Path, version: Version) -> Path:
    """Return the folder with the version's source, writing it first if it is not there.

    Idempotent and safe under concurrency: the folder appears by rename, and who comes second uses the first one's.
    """
    target = bundles_dir / version.id
    if target.is_dir():
        return target
    bundles_dir.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{version.id}-", dir=bundles_dir))
    try:
        for name, text in version.spec.source.items():
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target
