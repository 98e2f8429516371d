"""What handlers answer, as what yields or as a value; asynchronous ones run in the thread that called them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

from quickthaw.errors import HandlerFailed, NotServable

_END = object()


def settled(answer: Any) -> Any:
    """Return what a handler answered: the result of a coroutine, a plain generator for an asynchronous one.

    Each runs in an event loop of its own, in this thread. NotServable where a loop runs in this thread already. A
    generator raises HandlerFailed where it returns a value besides, which nobody would get.
    """
    if inspect.isawaitable(answer):
        return _finished(answer)
    if inspect.isgenerator(answer):
        return _yielded(answer)
    return _driven(answer) if isinstance(answer, AsyncIterator) else answer


def _yielded(answers: Any) -> Generator[Any, None, None]:
    value = yield from answers
    if value is not None:
        kind = type(value).__name__
        raise HandlerFailed(f"the handler yields, and then returned a {kind}, which nobody would get; yield that too")


def _finished(answer: Any) -> Any:
    import asyncio  # here: handlers that are not asynchronous do without it

    _check_no_loop(answer)
    with asyncio.Runner() as runner:
        return runner.run(_awaited(answer))


async def _awaited(answer: Any) -> Any:
    return await answer


def _driven(answers: AsyncIterator[Any]) -> Generator[Any, None, None]:
    import asyncio

    _check_no_loop(answers)
    with asyncio.Runner() as runner:
        try:
            while (item := runner.run(_next(answers))) is not _END:
                yield item
        finally:
            close = getattr(answers, "aclose", None)
            if close is not None:
                runner.run(_awaited(close()))


async def _next(answers: AsyncIterator[Any]) -> Any:
    try:
        return await anext(answers)
    except StopAsyncIteration:
        return _END


def _check_no_loop(answer: object) -> None:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if isinstance(answer, Coroutine):
        answer.close()
    raise NotServable("an asynchronous handler cannot run inside a running event loop; call it with asyncio.to_thread")
