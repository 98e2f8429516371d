"""`client.toml`: how the SDK and the CLI of the same user find this platform."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.errors import AuthenticationFailed
from quickthaw_platform.registry.keys import KeyStore


def admin_key(redis: Redis, file: Path) -> str:
    """Return an admin key that works: the first one made, the one in `file`, or else a new one.

    Only digests are stored, so where the key of an earlier start is lost another must be made.
    """
    keys = KeyStore(redis)
    if first := keys.ensure_admin():
        return first
    if (kept := _read_key(file)) and _works(keys, kept):
        return kept
    return keys.create("admin", (Scope.ADMIN,)).key


def write_client_file(file: Path, url: str, api_key: str) -> None:
    """Replace the file atomically; only its owner can read it."""
    temporary = file.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as text:
        text.write(f"url = {json.dumps(url)}\napi_key = {json.dumps(api_key)}\n")
    temporary.replace(file)


def _read_key(file: Path) -> str | None:
    try:
        key = tomllib.loads(file.read_text()).get("api_key")
    except (OSError, ValueError):
        return None
    return key if isinstance(key, str) else None


def _works(keys: KeyStore, key: str) -> bool:
    try:
        return keys.verify(key).allows(Scope.ADMIN)
    except AuthenticationFailed:
        return False
