"""`App` and its `@app.function`: a Python function beside the model that it runs on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack

from quickthaw import awaiting, bundle, calls, folder, handler_place, limit_options, outputs, runtime, schema
from quickthaw.errors import InvalidRequest
from quickthaw.resources import DEFAULT_ALIAS
from quickthaw.tool import AnyTool, definitions
from quickthaw.types import FunctionSpec, Handler, Version

if TYPE_CHECKING:
    from quickthaw.client import Client, Invocation

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M")
"""What the handler calls its model; the platform passes it, so that callers give only what `P` describes."""


class FunctionOptions(TypedDict, total=False):
    """How a function runs; see `types.FunctionSpec` for defaults. Durations and sizes are numbers, or "5m", "2GiB"."""

    engine: str
    adapter: str  # a LoRA adapter, an imported checkpoint that is put on the model
    backend: str  # serverless, serverful or hybrid
    replicas: int  # instances that are always on (serverful, hybrid)
    keep_alive: float | str  # how long an idle instance stays
    min_instances: int
    max_instances: int
    concurrency: int  # invocations that one instance serves at a time
    queue_size: int  # how many may wait; more are refused
    timeout: float | str  # the limit of the whole invocation
    start_timeout: float | str  # … of the wait for an instance
    first_token_timeout: float | str
    token_timeout: float | str  # … between two outputs
    memory: int | str  # for handler and KV cache
    max_tokens: int  # of an answer, where neither caller nor handler names a number
    max_tokens_limit: int  # … at most, whoever asks
    device: Literal["cpu", "cuda"]
    labels: Mapping[str, str]  # that a node must have
    spread: bool  # rather one instance a node
    weight: float  # its share when functions compete for room
    target_utilisation: float  # part of the slots in use beyond which another instance starts
    resumable: bool  # calls go on elsewhere when their process dies; the handler is run again
    system: str  # the system message that its chats begin with; used to have it read before a call comes
    tools: Sequence[AnyTool]  # … the tools: Python functions, or as OpenAI describes them
    prefix: str  # the text that its completions begin with
    isolation: Literal["strict", "process", "none"]  # … at least
    network: Literal["none", "egress", "host"]  # what its code reaches
    egress: Sequence[str]  # … with network egress: api.example.com, *.example.com, name:8080; all that is public
    compress: float | Mapping[str, Any]  # part of long texts that is kept; or ratio, budget, by (see types.Compression)
    env: Mapping[str, str]
    options: Mapping[str, Any]  # for the engine


class App:
    """Functions that belong together: they share a bundle's extra files and a client.

    Modules beside a function's file that it imports are deployed with it. `include` names further files, such as
    prompts, as globs under the folder of its file: "prompts/*.txt". Relative paths begin in that folder. `client` is
    what `remote`, `stream` and `spawn` go through; by default one is made from the environment at the first call.
    """

    def __init__(self, name: str, include: Sequence[str] = (), *, client: Client | None = None) -> None:
        self.name = name
        self.include = tuple(include)
        self.functions: dict[str, Function[..., Any]] = {}
        self._client = client

    def __repr__(self) -> str:
        return f"App({self.name!r}, functions={sorted(self.functions)})"

    @property
    def client(self) -> Client:
        """The client of this app's functions."""
        if self._client is None:
            from quickthaw.client import Client  # here: an instance imports apps at each cold start and calls nothing

            self._client = Client()
        return self._client

    def function(
        self, *, model: str, name: str | None = None, **options: Unpack[FunctionOptions]
    ) -> Callable[[Callable[Concatenate[M, P], R]], Function[P, R]]:
        """Make a function out of a handler: `model` names the checkpoint that its first parameter gets.

        `name` defaults to the handler's own. Raises InvalidRequest for an option that cannot be.
        """

        def decorate(handler: Callable[Concatenate[M, P], R]) -> Function[P, R]:
            made = Function(self, handler, model, name or handler_place.name_of(handler), options)
            made.written_in = sys._getframe(1).f_globals
            if made.name in self.functions:
                raise InvalidRequest(f"{self!r} already has a function called {made.name!r}; give another `name`")
            self.functions[made.name] = made
            return made

        return decorate

    def deploy(self, alias: str = DEFAULT_ALIAS) -> dict[str, Version]:
        """Deploy every function of the app; by name, the version of each."""
        return {name: function.deploy(alias) for name, function in self.functions.items()}


class Function(Generic[P, R]):
    """A handler and the settings that it runs with. Called directly it is the handler itself: `f(model, …)`."""

    def __init__(
        self, app: App, handler: Callable[Concatenate[Any, P], R], model: str, name: str, options: FunctionOptions
    ) -> None:
        self.app = app
        self.handler: Callable[..., R] = handler
        self.written_in: Mapping[str, Any] = {}
        """The global names of the module that made it a function."""
        self.name = name
        self.__doc__ = handler.__doc__
        self._settings = _settings(name, model, options)
        self.signature = schema.Signature(handler)

    def __repr__(self) -> str:
        return f"Function({self.name!r}, model={self._settings.model!r})"

    def __call__(self, model: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the plain handler with a model of the caller's own."""
        return self.handler(model, *args, **kwargs)

    def spec(self) -> FunctionSpec:
        """Return what is deployed: settings, the handler's place, and the source as text.

        Raises InvalidSource where the handler is not at the top of a file, or a file does not suit.
        """
        file, name = handler_place.find(self, self.written_in)
        place = Handler(file=file.name, object=name, parameters=self.signature.parameters())
        source = bundle.collect(file, self.app.include)
        fields = {field: getattr(self._settings, field) for field in self._settings.model_fields_set}
        return calls.request(FunctionSpec, **{**fields, "handler": place, "source": source})

    def deploy(self, alias: str = DEFAULT_ALIAS) -> Version:
        """Make a version of the function and point `alias` to it."""
        return self.app.client.deploy(self.spec(), alias)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the deployed function and return its result: its text, or the JSON value that it returned."""
        return self.app.client.invoke(self.name, self._input(args, kwargs)).result

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Generator[Any, None, None]:
        """Call the deployed function and yield what it puts out: a Delta (`str(delta)` is its text) or a JSON value."""
        return self.app.client.stream(self.name, self._input(args, kwargs))

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> Invocation:
        """Call the deployed function without waiting."""
        return self.app.client.spawn(self.name, self._input(args, kwargs))

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the function in this process, without a gateway; the result is what `remote` would return.

        Loads the model for this call. Relative paths begin in the folder of the function, as they do in an instance:
        it is the working directory of this process meanwhile. Needs the platform installed and the checkpoint imported
        here.
        """
        items = list(self._run(self._input(args, kwargs)))
        return items[0].value if len(items) == 1 and isinstance(items[0], _Returned) else outputs.joined(items)

    def local_stream(self, *args: P.args, **kwargs: P.kwargs) -> Generator[Any, None, None]:
        """Run the function in this process and yield what `stream` would."""
        for item in self._run(self._input(args, kwargs)):
            yield item.value if isinstance(item, _Returned) else outputs.streamed(item)

    def _run(self, input: dict[str, Any]) -> Iterator[Any]:
        """Yield what the handler yields; what it returns instead as the one item, a _Returned."""
        place = handler_place.folder_of(self.handler, self.written_in)
        with self._opened() as model:
            with folder.entered(place):
                answer = awaiting.settled(self.handler(model, **self.signature.read(input)))
            if not isinstance(answer, Iterator):
                yield _Returned(outputs.returned(answer))
                return
            while True:
                with folder.entered(place):
                    item = next(answer, _END)
                if item is _END:
                    return
                yield item

    def _opened(self) -> Any:
        return runtime.open_model(self._settings)

    def _input(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        return schema.bind(self.handler, args, kwargs)


@dataclass(frozen=True, slots=True)
class _Returned:
    """The result of a handler that does not yield."""

    value: Any


_END = object()


def _settings(name: str, model: str, options: FunctionOptions) -> FunctionSpec:
    """Check the options at once, where they are written; the source comes at deploy."""
    fields: dict[str, Any] = dict(options)
    if options.get("tools"):
        fields["tools"] = definitions(options["tools"])
    limits = {option: fields.pop(option) for option in limit_options.FIELDS if option in fields}
    if limits:
        fields["limits"] = limit_options.limits_of(limits)
    return calls.request(FunctionSpec, **{**fields, "name": name, "model": model})
