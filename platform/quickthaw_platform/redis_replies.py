"""Redis' replies that it cannot serve now, made the error that a broken connection makes.

Some say so at their head (`MISCONF Errors writing to the AOF file`), others within: a script's error in Redis before 7
(`ERR Error running script …: -OOM command not allowed`), a transaction's (`EXECABORT … because of: NOREPLICAS …`).
redis-py knows some of them, each as an error of its own, which Celery, RedBeat and we would have to know too. As errors
of a connection they are what all of them wait for and try again after.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from redis._parsers.base import BaseParser
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import WatchError

CODES = (
    "MISCONF",  # its disk takes nothing more
    "NOREPLICAS",  # fewer replicas than min-replicas-to-write are there
    "OOM",  # maxmemory is reached, and nothing may be evicted
    "READONLY",  # it is a replica, after a failover, say
    "LOADING",  # it reads its file
    "MASTERDOWN",  # it is a replica without its primary
    "CLUSTERDOWN",  # some slots of its cluster are served by nobody
    "TRYAGAIN",  # slots are on their way to another server
    "BUSY",  # somebody's script runs for too long
    "UNBLOCKED",  # a blocking read was ended, as the server became a replica
)
_TOO_MANY = "max number of clients + cluster connections reached"
_REPLY = re.compile(rf"(?:^|: -?|because of: )(?P<code>{'|'.join(CODES)})\b")


class CannotServe(RedisConnectionError):
    """Redis answers that it cannot do this now; `code` is its word for why."""

    def __init__(self, reply: str, code: str) -> None:
        super().__init__(reply, status_code=code)
        self.code = code


def outage_in(reply: str) -> CannotServe | None:
    """Return the error that an error reply stands for where it says that Redis cannot serve now; else None."""
    found = _REPLY.search(reply)
    if found is not None:
        return CannotServe(reply, found["code"])
    return CannotServe(reply, "ERR") if _TOO_MANY in reply else None


@cache
def install() -> None:
    """Have every client in this process raise CannotServe for such replies."""
    known = BaseParser.parse_error.__func__  # type: ignore[attr-defined]  # the function behind the classmethod

    def parse_error(cls: type[BaseParser], response: str) -> Exception:
        found = outage_in(response)
        return known(cls, response) if found is None else found

    BaseParser.parse_error = classmethod(parse_error)  # type: ignore[assignment,method-assign]
    _end_transactions()


def _end_transactions() -> None:
    """Have a transaction that Redis refuses fail as refused.

    redis-py takes an error of the connection for a change of what is watched, and its `transaction` tries that again at
    once, forever: here the keys can still be watched, and nothing be written.
    """
    for name in ("execute", "immediate_execute_command"):
        setattr(Pipeline, name, _raising_refusals(getattr(Pipeline, name)))


def _raising_refusals(known: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(known)
    def method(*args: Any, **options: Any) -> Any:
        try:
            return known(*args, **options)
        except WatchError as error:
            if isinstance(error.__context__, CannotServe):
                raise error.__context__ from None
            raise

    return method
