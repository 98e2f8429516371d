"""The Lua scripts: every change of an invocation, a lease or an instance is one of them, so each is atomic."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.commands.core import Script

from quickthaw_platform.invocations.outage import outage_is_unavailable

_PRELUDE = "prelude"


@cache
def source(name: str) -> str:
    """Return the text of the script `name`, with what all of them share before it."""
    folder = files(__package__)
    return "\n".join((folder / f"{part}.lua").read_text() for part in (_PRELUDE, name))


class Scripts:
    """Runs scripts by name. A server that forgot them (restart, flush) is told them again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, Script] = {}

    def run(self, name: str, *args: str | int | float) -> Any:
        """Run the script and return its answer; Unavailable when Redis is."""
        script = self._known.get(name)
        if script is None:
            script = self._known[name] = self._redis.register_script(source(name))
        with outage_is_unavailable():
            return script(args=args)
