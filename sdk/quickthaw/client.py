"""The blocking client. Every method is a call from `calls`; this file moves bytes and sleeps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping, Sequence
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


class Client:
    """Talks to a gateway; safe to share between threads.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.endpoint = config.resolve(url, api_key)
        self._timeout = http.checked(timeout)
        self._backoff = backoff or Backoff()
        self._reach = Reach()
        self._open: set[EventFeed] = set()  # streams whose calls end with them
        self._http = httpx.Client(headers=http.headers(self.endpoint), transport=transport or proxies.Transport())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and with them the streams that are still open."""
        for feed in tuple(self._open):
            self._abandon(feed)
        self._http.close()

    def functions(self) -> list[FunctionInfo]:
        """List the functions."""
        return self._run(calls.functions())

    def function(self, name: str) -> FunctionInfo:
        """Describe a function."""
        return self._run(calls.function(name))

    def deploy(self, spec: FunctionSpec, alias: str = DEFAULT_ALIAS, require: Sequence[str] = ()) -> Version:
        """Make a version of a function and point `alias` to it. The same spec again makes no new version.

        `require` are bars that its checkpoint must clear, such as "perplexity[hf,wikitext-2]<=20"; Conflict otherwise.
        """
        return self._run(calls.deploy(spec, alias, require))

    def delete_function(self, name: str) -> None:
        """Delete a function with its versions, aliases and secrets."""
        self._run(calls.delete_function(name))

    def versions(self, name: str) -> list[Version]:
        """List a function's versions, in order of first deploy."""
        return self._run(calls.versions(name))

    def aliases(self, name: str) -> list[AliasInfo]:
        """List a function's aliases."""
        return self._run(calls.aliases(name))

    def set_alias(self, name: str, alias: str, weights: Mapping[str, float], require: Sequence[str] = ()) -> AliasInfo:
        """Point an alias to one or several versions (id or number), weighted: {"3": 0.9, "4": 0.1}.

        `require` are bars that the checkpoint of each must clear: see `deploy`.
        """
        return self._run(calls.set_alias(name, alias, weights, require))

    def delete_alias(self, name: str, alias: str) -> None:
        """Forget an alias; `live` stays."""
        self._run(calls.delete_alias(name, alias))

    def rollback(self, name: str, alias: str = DEFAULT_ALIAS, version: str | None = None) -> AliasInfo:
        """Point an alias to the version before, or to `version`."""
        return self._run(calls.rollback(name, alias, version))

    def secrets(self, name: str) -> list[SecretInfo]:
        """List the names of a function's secrets."""
        return self._run(calls.secrets(name))

    def set_secret(self, name: str, key: str, value: str) -> SecretInfo:
        """Set a secret, an environment variable of the function's instances."""
        return self._run(calls.set_secret(name, key, value))

    def delete_secret(self, name: str, key: str) -> None:
        """Forget a secret."""
        self._run(calls.delete_secret(name, key))

    def logs(self, name: str, after: str | None = None, limit: int | None = None) -> list[LogLine]:
        """Read a function's log lines, oldest first: the latest `limit`, or the next ones behind the line `after`."""
        return self._run(calls.logs(name, after, limit))

    def follow_logs(self, name: str, after: str | None = None) -> Generator[LogLine, None, None]:
        """Yield a function's log lines as they come, without end."""
        return self._follow(LogFeed(self._attempts(), name, after), Deadline(None))

    def invoke(self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]) -> InvocationInfo:
        """Call a function and wait: the record of the invocation, its `result` inside. Raises what it failed with.

        Ctrl-C cancels it, unless it has an `idempotency_key` of the caller's, under which it can be found again.
        """
        call = calls.invoke(name, input, options)
        try:
            return self._run(call)
        except (KeyboardInterrupt, SystemExit):
            if options.get("idempotency_key") is None:
                with contextlib.suppress(QuickthawError):
                    self._run(calls.cancel(self._run(calls.unawaited(call), last=True).id), last=True)
            raise

    def stream(self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]) -> Generator[Any, None, None]:
        """Call a function and yield what it puts out: a Delta or a JSON value each.

        The call is made when the first output is asked for; closing the iterator before its end cancels it, unless it
        has an `idempotency_key` of the caller's, under which it can be found again.
        """
        return self._outputs(self._opened(name, input, options))

    def stream_events(
        self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]
    ) -> Generator[Event, None, None]:
        """Call a function and yield its events, status included, up to RESULT or ERROR. Closing it cancels."""
        return self._opened(name, input, options)

    def spawn(self, name: str, input: Mapping[str, Any], **options: Unpack[CallOptions]) -> Invocation:
        """Call a function without waiting."""
        info = self._run(calls.submit(name, input, options))
        return self.invocation(info.id)

    def invocation(self, id: str) -> Invocation:
        """Take up an invocation by its id."""
        return Invocation(self, id)

    def status(self, id: str) -> InvocationInfo:
        """Look at an invocation."""
        return self._run(calls.invocation(id))

    def events(self, id: str, after: int = 0, timeout: float | None = None) -> Generator[Event, None, None]:
        """Yield an invocation's events behind event `after`, up to RESULT or ERROR.

        After `timeout` seconds TimedOut is raised, though never more than one pause of the stream too late.
        """
        return self._follow(EventFeed(self._attempts(), calls.events(id, after), id, after), Deadline(timeout))

    def cancel(self, id: str) -> InvocationInfo:
        """Cancel an invocation; one that has ended stays as it is."""
        return self._run(calls.cancel(id))

    def explain(self, id: str) -> Explanation:
        """Ask why an invocation ran where and when it did."""
        return self._run(calls.explain(id))

    def life(self, id: str) -> InvocationLife:
        """Ask where an invocation was, when, and how long its followers saw nothing in between."""
        return self._run(calls.life(id))

    def migrate(self, id: str, node: str | None = None) -> InvocationInfo:
        """Move a running invocation to another node; returns at once, with the invocation as it is."""
        return self._run(calls.migrate(id, node))

    def router_accuracy(self) -> RouterAccuracy:
        """Ask how far off the router's estimates of starts were."""
        return self._run(calls.router_accuracy())

    def nodes(self) -> list[NodeInfo]:
        """List the nodes."""
        return self._run(calls.nodes())

    def drain_node(self, id: str) -> NodeInfo:
        """Let a node finish what runs and take nothing new."""
        return self._run(calls.drain_node(id))

    def instances(self) -> list[InstanceInfo]:
        """List the instances."""
        return self._run(calls.instances())

    def stop_instance(self, id: str) -> None:
        """Let an instance finish what runs and end it."""
        self._run(calls.stop_instance(id))

    def checkpoints(self) -> list[CheckpointInfo]:
        """List the imported checkpoints."""
        return self._run(calls.checkpoints())

    def checkpoint(self, name: str) -> CheckpointInfo:
        """Look at one checkpoint, and where it is."""
        return self._run(calls.checkpoint(name))

    def pull_checkpoint(self, name: str, node: str) -> CheckpointInfo:
        """Have a node bring a checkpoint into its memory and onto its disk; returns at once, as it is now."""
        return self._run(calls.pull_checkpoint(name, node))

    def evict_checkpoint(self, name: str, node: str, tier: Literal["dram", "disk"] = "dram") -> CheckpointInfo:
        """Have a node drop a checkpoint from its memory, or from memory and disk; returns at once, as it is now."""
        return self._run(calls.evict_checkpoint(name, node, tier))

    def move_checkpoint(self, name: str, signer: str) -> CheckpointInfo:
        """Give a checkpoint's name to another importer, named by its public key."""
        return self._run(calls.move_checkpoint(name, signer))

    def delete_checkpoint(self, name: str) -> None:
        """Remove a checkpoint from every node and from the remote tier."""
        self._run(calls.delete_checkpoint(name))

    def results(self, name: str) -> list[CheckpointResult]:
        """List what validation has measured of a checkpoint."""
        return self._run(calls.results(name))

    def record_result(self, name: str, result: CheckpointResult) -> CheckpointResult:
        """Keep a result of a checkpoint, in place of an earlier one of the same protocol, text, engine and options."""
        return self._run(calls.record_result(name, result))

    def keys(self) -> list[KeyInfo]:
        """List the API keys."""
        return self._run(calls.keys())

    def create_key(
        self,
        name: str,
        scopes: Sequence[Scope | str] = (Scope.INVOKE,),
        quotas: Quotas | Mapping[str, Any] | None = None,
        weight: float = 1.0,
    ) -> KeyCreated:
        """Make an API key; the answer is the only place where the key itself appears.

        `weight` is its share of a function's queue where calls of several keys wait.
        """
        return self._run(calls.create_key(name, scopes, quotas, weight))

    def revoke_key(self, id: str) -> None:
        """Revoke an API key at once."""
        self._run(calls.revoke_key(id))

    def usage(
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
        return self._run(calls.usage(since, until, by, function))

    def focus(
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
        return self._run(calls.focus(since, until, function, price, hourly_usd, vcpus))

    def _attempts(self, backoff: Backoff | None = None) -> Attempts:
        return Attempts(self.endpoint, backoff or self._backoff, self._reach)

    def _run(self, call: Call[T], last: bool = False) -> T:
        """Make a call; `last`: of somebody who is leaving, who tries once and waits no longer than LAST_SECONDS."""
        exchange = Exchange(call, self._attempts(ONCE if last else None))
        seconds = http.LAST_SECONDS if last else http.patience(call, self._timeout)
        parts = http.parts(call, self.endpoint, seconds)
        while True:
            try:
                step = exchange.replied(http.reply(self._http.request(**parts)))
            except httpx.TransportError as error:
                step = exchange.failed(http.fault(error))
            if isinstance(step, Answer):
                return step.value
            time.sleep(step.seconds)

    def _opened(self, name: str, input: Mapping[str, Any], options: CallOptions) -> Generator[Event, None, None]:
        feed = EventFeed(self._attempts(), calls.stream(name, input, options))
        if options.get("idempotency_key") is None:
            self._open.add(feed)
        try:
            yield from self._follow(feed, Deadline(None))
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            self._abandon(feed)
            raise
        finally:
            self._open.discard(feed)

    def _abandon(self, feed: EventFeed) -> None:
        """Cancel the invocation of a stream that nobody reads to its end, where nobody could find it again."""
        was_open = feed in self._open
        self._open.discard(feed)
        if was_open and feed.invocation is not None and not feed.ended:
            with contextlib.suppress(QuickthawError):
                self._run(calls.cancel(feed.invocation), last=True)

    def _follow(self, feed: Feed[T], deadline: Deadline) -> Generator[T, None, None]:
        while not feed.ended:
            seconds = deadline.capped(SILENCE_SECONDS)
            try:
                with self._http.stream(**http.parts(feed.request(), self.endpoint, seconds)) as response:
                    if response.is_success:
                        yield from self._read(feed, response, deadline)
                        continue
                    response.read()
                    wait = feed.refused(http.reply(response))
            except httpx.TransportError as error:
                wait = feed.failed(http.fault(error))
            time.sleep(deadline.capped(wait))

    def _read(self, feed: Feed[T], response: httpx.Response, deadline: Deadline) -> Generator[T, None, None]:
        feed.opened(response.headers)
        for chunk in response.iter_bytes():
            yield from feed.feed(chunk)
            if feed.ended:
                return
            deadline.capped(SILENCE_SECONDS)
        time.sleep(deadline.capped(feed.failed()))

    @staticmethod
    def _outputs(events: Generator[Event, None, None]) -> Generator[Any, None, None]:
        reader = outputs.Outputs()
        with contextlib.closing(events):  # so that whoever closes us closes the stream
            for event in events:
                yield from reader.take(event)


class Invocation:
    """One call of a function that runs on its own."""

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self.id = id

    def __repr__(self) -> str:
        return f"Invocation({self.id!r})"

    def status(self) -> InvocationInfo:
        """Look at it: state, place in the queue, times, result."""
        return self._client.status(self.id)

    def events(self, after: int = 0) -> Generator[Event, None, None]:
        """Yield its events behind event `after`, waiting for those to come, up to RESULT or ERROR."""
        return self._client.events(self.id, after)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end: the result, or the error it ended with. After `timeout` seconds TimedOut is raised."""
        for event in self._client.events(self.id, timeout=timeout):
            if event.type is EventType.RESULT:
                return event.data.get("value")
            if event.type is EventType.ERROR:
                raise outputs.failure(event)
        raise AssertionError("a feed ends with RESULT or ERROR")

    def cancel(self) -> InvocationInfo:
        """Cancel it; one that has ended stays as it is."""
        return self._client.cancel(self.id)
