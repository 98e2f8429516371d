"""The Lua scripts: every change of an invocation, a lease or an instance is one of them, so each is atomic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from quickthaw_platform.invocations.outage import outage_is_unavailable

_SHARED = ("held", "prelude")


@cache
def source(name: str) -> str:
    """Return the text of the script `name`, with what all of them share before it."""
    folder = files(__package__)
    return "\n".join((folder / f"{part}.lua").read_text() for part in (*_SHARED, name))


class Scripts:
    """Runs scripts by name. A server that forgot them (restart, flush) is told them again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, Script] = {}

    def run(self, name: str, *args: str | int | float) -> Any:
        """Run the script and return its answer; Unavailable when Redis is."""
        script = self._script(name)
        with outage_is_unavailable():
            return script(args=args)

    def run_each(self, name: str, calls: Sequence[Sequence[str | int | float]]) -> list[Any]:
        """Run the script once for each of `calls`, in order, with one round trip for all; return the answers."""
        if len(calls) == 1:
            return [self.run(name, *calls[0])]
        script = self._script(name)
        with outage_is_unavailable():
            try:
                with self._redis.pipeline(transaction=False) as pipe:
                    for args in calls:
                        pipe.evalsha(script.sha, 0, *args)
                    return pipe.execute()
            except NoScriptError:  # it is told the script by the first of these
                return [script(args=args) for args in calls]

    def _script(self, name: str) -> Script:
        script = self._known.get(name)
        if script is None:
            script = self._known[name] = self._redis.register_script(source(name))
        return script
