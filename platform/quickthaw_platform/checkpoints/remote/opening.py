"""Which store a URL means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from quickthaw_platform.contracts import RemoteStore
from quickthaw_platform.errors import InvalidRequest


def open_store(url: str) -> RemoteStore:
    """Return the store at `s3://bucket/prefix`, `file:///path` or a path. Nothing is asked of it yet.

    Raises InvalidRequest for any other URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        from quickthaw_platform.checkpoints.remote.s3 import S3Store

        return S3Store(parts.netloc, parts.path.strip("/"))
    if parts.scheme in ("", "file") and not parts.netloc and parts.path:
        from quickthaw_platform.checkpoints.remote.directory import DirectoryStore

        path = unquote(parts.path) if parts.scheme else parts.path
        return DirectoryStore(Path(path).expanduser())
    raise InvalidRequest(f"{url!r} is no remote tier; write s3://bucket/prefix, file:///path, or a path")
