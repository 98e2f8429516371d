"""The asyncio client: `Client`, awaited. Every method is a call from `calls`; this file moves bytes and sleeps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, TypeVar, Unpack

import httpx

from quickthaw import calls, config, http, outputs, proxies
from quickthaw.calls import CallOptions
from quickthaw.errors import QuickthawError
from quickthaw.feeds import SILENCE_SECONDS, EventFeed, Feed, LogFeed
from quickthaw.protocol import Answer, Attempts, Call, Exchange, Reach
from quickthaw.resources import (
    DEFAULT_ALIAS,
    AliasInfo,
    CheckpointInfo,
    Explanation,
    FocusRow,
    InstanceInfo,
    InvocationLife,
    KeyCreated,
    KeyInfo,
    LogLine,
    NodeInfo,
    Quotas,
    RouterAccuracy,
    Scope,
    SecretInfo,
    UsageRow,
)
from quickthaw.results import CheckpointResult
from quickthaw.retry import ONCE, Backoff, Deadline
from quickthaw.types import Event, EventType, FunctionInfo, FunctionSpec, InvocationInfo, Version

T = TypeVar("T")


class AsyncClient:
    """Talks to a gateway; for one event loop.

    `url` and `api_key` default to the environment and to what `quickthaw up` wrote (see `config`). `timeout` is the
    longest wait of `invoke`, in seconds. A call that a broken connection or a 429 or 503 with Retry-After interrupted
    is sent again as `backoff` says; invocations carry an idempotency key, so that none runs twice.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = http.DEFAULT_TIMEOUT_SECONDS,
        backoff: Backoff | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = config.resolve(url, api_key)
        self._timeout = http.checked(timeout)
        self._backoff = backoff or Backoff()
        self._reach = Reach()
        self._open: set[EventFeed] = set()  # streams whose calls end with them
        self._http = httpx.AsyncClient(
            headers=http.headers(self.endpoint), transport=transport or proxies.AsyncTransport()
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, and with them the streams that are still open."""
        for feed in tuple(self._open):
            await self._abandon(feed)
        await self._http.aclose()

    async def functions(self) -> list[FunctionInfo]:
        """List the functions."""
        return await self._run(calls.functions())

    async def function(self, name: str) -> FunctionInfo:
        """Describe a function."""
        return await self._run(calls.function(name))

    async def deploy(self, spec: FunctionSpec, alias: str = DEFAULT_ALIAS, require: Sequence[str] = ()) -> Version:
        """Make a version of a function and point `alias` to it. The same spec again makes no new version.

        `require` are bars that its checkpoint must clear, such as "perplexity[hf,wikitext-2]<=20"; Conflict otherwise.
        """
        return await self._run(calls.deploy(spec, alias, require))

    async def delete_function(self, name: str) -> None:
        """Delete a function with its versions, aliases and secrets."""
        await self._run(calls.delete_function(name))

    async def versions(self, name: str) -> list[Version]:
        """List a function's versions, in order of first deploy."""
        return await self._run(calls.versions(name))

    async def aliases(self, name: str) -> list[AliasInfo]:
        """List a function's aliases."""
        return await self._run(calls.aliases(name))

    async def set_alias(
        self, name: str, alias: str, weights: Mapping[str, float], require: Sequence[str] = ()
    ) -> AliasInfo:
        """Point an alias to one or several versions (id or number), weighted: {"3": 0.9, "4": 0.1}.

        `require` are bars that the checkpoint of each must clear: see `deploy`.
        """
        return await self._run(calls.set_alias(name, alias, weights, require))

    async def delete_alias(self, name: str, alias: str) -> None:
        """Forget an alias; `live` stays."""
        await self._run(calls.delete_alias(name, alias))

    async def rollback(self, name: str, alias: str = DEFAULT_ALIAS, version: str | None = None) -> AliasInfo:
        """Point an alias to the version before, or to `version`."""
        return await self._run(calls.rollback(name, alias, version))

    async def secrets(self, name: str) -> list[SecretInfo]:
        """List the names of a function's secrets."""
        return await self._run(calls.secrets(name))

    async def set_secret(self, name: str, key: str, value: str) -> SecretInfo:
        """Set a secret, an environment variable of the function's instances."""
        return await self._run(calls.set_secret(name, key, value))

    async def delete_secret(self, name: str, key: str) -> None:
        """Forget a secret."""
        await self._run(calls.delete_secret(name, key))

    async def logs(self, name: str, after: str | None = None, limit: int | None = None) -> list[LogLine]:
        """Read a function's log lines, oldest first: the latest `limit`, or the next ones behind the line `after`."""
        return await self._run(calls.logs(name, after, limit))

    def follow_logs(self, name: str, after: str | None = None) -> AsyncGenerator[LogLine, None]:
        """Yield a function's log lines as they come, without end."""
        return self._follow(LogFeed(self._attempts(), name, after), Deadline(None))

    async def invoke(self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]) -> InvocationInfo:
        """Call a function and wait: the record of the invocation, its `result` inside. Raises what it failed with.

        Cancelling the task cancels it, unless it has an `idempotency_key` of the caller's, under which it can be found
        again.
        """
        call = calls.invoke(name, input, options)
        try:
            return await self._run(call)
        except asyncio.CancelledError:
            if options.get("idempotency_key") is None:
                with contextlib.suppress(QuickthawError):
                    await self._run(calls.cancel((await self._run(calls.unawaited(call), last=True)).id), last=True)
            raise

    def stream(self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]) -> AsyncGenerator[Any, None]:
        """Call a function and yield what it puts out: a Delta or a JSON value each.

        The call is made when the first output is asked for; closing the iterator (`aclose`) before its end cancels it,
        unless it has an `idempotency_key` of the caller's, under which it can be found again.
        """
        return self._outputs(self._opened(name, input, options))

    def stream_events(
        self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]
    ) -> AsyncGenerator[Event, None]:
        """Call a function and yield its events, status included, up to RESULT or ERROR. `aclose` cancels."""
        return self._opened(name, input, options)

    async def spawn(self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]) -> AsyncInvocation:
        """Call a function without waiting."""
        info = await self._run(calls.submit(name, input, options))
        return self.invocation(info.id)

    def invocation(self, id: str) -> AsyncInvocation:
        """Take up an invocation by its id."""
        return AsyncInvocation(self, id)

    async def status(self, id: str) -> InvocationInfo:
        """Look at an invocation."""
        return await self._run(calls.invocation(id))

    def events(self, id: str, after: int = 0, timeout: float | None = None) -> AsyncGenerator[Event, None]:
        """Yield an invocation's events behind event `after`, up to RESULT or ERROR.

        After `timeout` seconds TimedOut is raised, though never more than one pause of the stream too late.
        """
        return self._follow(EventFeed(self._attempts(), calls.events(id, after), id, after), Deadline(timeout))

    async def cancel(self, id: str) -> InvocationInfo:
        """Cancel an invocation; one that has ended stays as it is."""
        return await self._run(calls.cancel(id))

    async def explain(self, id: str) -> Explanation:
        """Ask why an invocation ran where and when it did."""
        return await self._run(calls.explain(id))

    async def life(self, id: str) -> InvocationLife:
        """Ask where an invocation was, when, and how long its followers saw nothing in between."""
        return await self._run(calls.life(id))

    async def migrate(self, id: str, node: str | None = None) -> InvocationInfo:
        """Move a running invocation to another node; returns at once, with the invocation as it is."""
        return await self._run(calls.migrate(id, node))

    async def router_accuracy(self) -> RouterAccuracy:
        """Ask how far off the router's estimates of starts were."""
        return await self._run(calls.router_accuracy())

    async def nodes(self) -> list[NodeInfo]:
        """List the nodes."""
        return await self._run(calls.nodes())

    async def drain_node(self, id: str) -> NodeInfo:
        """Let a node finish what runs and take nothing new."""
        return await self._run(calls.drain_node(id))

    async def instances(self) -> list[InstanceInfo]:
        """List the instances."""
        return await self._run(calls.instances())

    async def stop_instance(self, id: str) -> None:
        """Let an instance finish what runs and end it."""
        await self._run(calls.stop_instance(id))

    async def checkpoints(self) -> list[CheckpointInfo]:
        """List the imported checkpoints."""
        return await self._run(calls.checkpoints())

    async def checkpoint(self, name: str) -> CheckpointInfo:
        """Look at one checkpoint, and where it is."""
        return await self._run(calls.checkpoint(name))

    async def pull_checkpoint(self, name: str, node: str) -> CheckpointInfo:
        """Have a node bring a checkpoint into its memory and onto its disk; returns at once, as it is now."""
        return await self._run(calls.pull_checkpoint(name, node))

    async def evict_checkpoint(self, name: str, node: str, tier: Literal["dram", "disk"] = "dram") -> CheckpointInfo:
        """Have a node drop a checkpoint from its memory, or from memory and disk; returns at once, as it is now."""
        return await self._run(calls.evict_checkpoint(name, node, tier))

    async def move_checkpoint(self, name: str, signer: str) -> CheckpointInfo:
        """Give a checkpoint's name to another importer, named by its public key."""
        return await self._run(calls.move_checkpoint(name, signer))

    async def delete_checkpoint(self, name: str) -> None:
        """Remove a checkpoint from every node and from the remote tier."""
        await self._run(calls.delete_checkpoint(name))

    async def results(self, name: str) -> list[CheckpointResult]:
        """List what validation has measured of a checkpoint."""
        return await self._run(calls.results(name))

    async def record_result(self, name: str, result: CheckpointResult) -> CheckpointResult:
        """Keep a result of a checkpoint, in place of an earlier one of the same protocol, text, engine and options."""
        return await self._run(calls.record_result(name, result))

    async def keys(self) -> list[KeyInfo]:
        """List the API keys."""
        return await self._run(calls.keys())

    async def create_key(
        self,
        name: str,
        scopes: Sequence[Scope | str] = (Scope.INVOKE,),
        quotas: Quotas | Mapping[str, Any] | None = None,
        weight: float = 1.0,
    ) -> KeyCreated:
        """Make an API key; the answer is the only place where the key itself appears.

        `weight` is its share of a function's queue where calls of several keys wait.
        """
        return await self._run(calls.create_key(name, scopes, quotas, weight))

    async def revoke_key(self, id: str) -> None:
        """Revoke an API key at once."""
        await self._run(calls.revoke_key(id))

    async def usage(
        self,
        *,
        since: float | str | None = None,
        until: float | str | None = None,
        by: Sequence[str] = ("function", "phase"),
        function: str | None = None,
    ) -> list[UsageRow]:
        """Ask what was used, a row for each of what `by` tells apart.

        `by` has any of function, version, backend, node, device, key, phase. `since` and `until` are Unix seconds, ISO
        8601, or how long ago, such as "24h"; None: from the beginning, and up to now.
        """
        return await self._run(calls.usage(since, until, by, function))

    async def focus(
        self,
        *,
        since: float | str | None = None,
        until: float | str | None = None,
        function: str | None = None,
        price: str | None = None,
        hourly_usd: float | None = None,
        vcpus: float | None = None,
    ) -> list[FocusRow]:
        """Ask what was used and what it costs, as rows of a FOCUS 1.3 cost and usage file.

        The price is that of an offer (`price`, for instances of so many `vcpus`), or of an hour of an instance.
        """
        return await self._run(calls.focus(since, until, function, price, hourly_usd, vcpus))

    def _attempts(self, backoff: Backoff | None = None) -> Attempts:
        return Attempts(self.endpoint, backoff or self._backoff, self._reach)

    async def _run(self, call: Call[T], last: bool = False) -> T:
        """Make a call; `last`: of somebody who is leaving, who tries once and waits no longer than LAST_SECONDS."""
        exchange = Exchange(call, self._attempts(ONCE if last else None))
        seconds = http.LAST_SECONDS if last else http.patience(call, self._timeout)
        parts = http.parts(call, self.endpoint, seconds)
        while True:
            try:
                step = exchange.replied(http.reply(await self._http.request(**parts)))
            except httpx.TransportError as error:
                step = exchange.failed(http.fault(error))
            if isinstance(step, Answer):
                return step.value
            await asyncio.sleep(step.seconds)

    async def _opened(self, name: str, input: Mapping[str, Any], options: CallOptions) -> AsyncGenerator[Event, None]:
        feed = EventFeed(self._attempts(), calls.stream(name, input, options))
        if options.get("idempotency_key") is None:
            self._open.add(feed)
        try:
            async with contextlib.aclosing(self._follow(feed, Deadline(None))) as events:
                async for event in events:
                    yield event
        except (GeneratorExit, asyncio.CancelledError):
            await self._abandon(feed)
            raise
        finally:
            self._open.discard(feed)

    async def _abandon(self, feed: EventFeed) -> None:
        """Cancel the invocation of a stream that nobody reads to its end, where nobody could find it again."""
        was_open = feed in self._open
        self._open.discard(feed)
        if was_open and feed.invocation is not None and not feed.ended:
            with contextlib.suppress(QuickthawError):
                await self._run(calls.cancel(feed.invocation), last=True)

    async def _follow(self, feed: Feed[T], deadline: Deadline) -> AsyncGenerator[T, None]:
        while not feed.ended:
            seconds = deadline.capped(SILENCE_SECONDS)
            try:
                async with self._http.stream(**http.parts(feed.request(), self.endpoint, seconds)) as response:
                    if response.is_success:
                        async with contextlib.aclosing(self._read(feed, response, deadline)) as records:
                            async for record in records:
                                yield record
                        continue
                    await response.aread()
                    wait = feed.refused(http.reply(response))
            except httpx.TransportError as error:
                wait = feed.failed(http.fault(error))
            await asyncio.sleep(deadline.capped(wait))

    async def _read(self, feed: Feed[T], response: httpx.Response, deadline: Deadline) -> AsyncGenerator[T, None]:
        feed.opened(response.headers)
        async for chunk in response.aiter_bytes():
            for record in feed.feed(chunk):
                yield record
            if feed.ended:
                return
            deadline.capped(SILENCE_SECONDS)
        await asyncio.sleep(deadline.capped(feed.failed()))

    @staticmethod
    async def _outputs(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Any, None]:
        reader = outputs.Outputs()
        async with contextlib.aclosing(events):  # so that whoever closes us closes the stream
            async for event in events:
                for output in reader.take(event):
                    yield output


class AsyncInvocation:
    """One call of a function that runs on its own."""

    def __init__(self, client: AsyncClient, id: str) -> None:
        self._client = client
        self.id = id

    def __repr__(self) -> str:
        return f"AsyncInvocation({self.id!r})"

    async def status(self) -> InvocationInfo:
        """Look at it: state, place in the queue, times, result."""
        return await self._client.status(self.id)

    def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Yield its events behind event `after`, waiting for those to come, up to RESULT or ERROR."""
        return self._client.events(self.id, after)

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for its end: the result, or the error it ended with. After `timeout` seconds TimedOut is raised."""
        async with contextlib.aclosing(self._client.events(self.id, timeout=timeout)) as events:
            async for event in events:
                if event.type is EventType.RESULT:
                    return event.data.get("value")
                if event.type is EventType.ERROR:
                    raise outputs.failure(event)
        raise AssertionError("a feed ends with RESULT or ERROR")

    async def cancel(self) -> InvocationInfo:
        """Cancel it; one that has ended stays as it is."""
        return await self._client.cancel(self.id)
