"""`App` and its `@app.function`: a Python function beside the model that it runs on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack

from quickthaw import bundle, calls, outputs, runtime, schema
from quickthaw.errors import InvalidRequest, InvalidSource
from quickthaw.resources import DEFAULT_ALIAS
from quickthaw.tool import AnyTool, definitions
from quickthaw.types import FunctionSpec, Handler, Limits, Version

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
    device: Literal["cpu", "cuda"]
    labels: Mapping[str, str]  # that a node must have
    spread: bool  # rather one instance a node
    weight: float  # its share when functions compete for room
    target_utilisation: float  # part of the slots in use beyond which another instance starts
    resumable: bool  # calls go on elsewhere when their process dies; the handler is run again
    system: str  # the system message that its chats begin with; used to have it read before a call comes
    tools: Sequence[AnyTool]  # … the tools: Python functions, or as OpenAI describes them
    prefix: str  # the text that its completions begin with
    env: Mapping[str, str]
    options: Mapping[str, Any]  # for the engine


_LIMITS = {
    "timeout": "total",
    "start_timeout": "start",
    "first_token_timeout": "first_token",
    "token_timeout": "between_tokens",
}


class App:
    """Functions that belong together: they share a bundle's extra files and a client.

    `include` names further files for the bundle of each function, as globs under the folder of its file. `client` is
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
            made = Function(self, handler, model, name or handler.__name__, options)
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
        self.name = name
        self.__doc__ = handler.__doc__
        self._settings = _settings(name, model, options)
        self._parameters = schema.parameters(handler)

    def __repr__(self) -> str:
        return f"Function({self.name!r}, model={self._settings.model!r})"

    def __call__(self, model: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the plain handler with a model of the caller's own."""
        return self.handler(model, *args, **kwargs)

    def spec(self) -> FunctionSpec:
        """Return what is deployed: settings, the handler's place, and the source as text.

        Raises InvalidSource where the handler is not a function at the top of a file, or a file does not suit.
        """
        file = self._file()
        place = Handler(file=file.name, object=self.handler.__name__, parameters=self._parameters)
        source = bundle.collect(file, self.app.include)
        fields = {field: getattr(self._settings, field) for field in self._settings.model_fields_set}
        return calls.request(FunctionSpec, **{**fields, "handler": place, "source": source})

    def _file(self) -> Path:
        qualified = self.handler.__qualname__
        if qualified != self.handler.__name__:
            raise InvalidSource(f"{qualified} cannot be deployed: a handler is a function at the top level of a file")
        try:
            file = Path(inspect.getfile(self.handler))
        except TypeError as error:
            raise InvalidSource(f"{qualified} is not a Python function") from error
        if not file.is_file():
            raise InvalidSource(f"{qualified} was not read from a file ({file}); write it into one to deploy it")
        return file

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

        Loads the model for this call. Needs the platform installed and the checkpoint imported here.
        """
        input = self._input(args, kwargs)
        with self._opened() as model:
            answer = self.handler(model, **input)
            if isinstance(answer, Iterator):
                return outputs.joined(answer)
            return outputs.returned(answer)

    def local_stream(self, *args: P.args, **kwargs: P.kwargs) -> Generator[Any, None, None]:
        """Run the function in this process and yield what `stream` would."""
        input = self._input(args, kwargs)
        with self._opened() as model:
            answer = self.handler(model, **input)
            if isinstance(answer, Iterator):
                yield from answer
            else:
                yield answer

    def _opened(self) -> Any:
        settings = self._settings
        return runtime.open_model(settings.model, settings.engine, settings.options, settings.adapter)

    def _input(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        return schema.bind(self.handler, args, kwargs)


def _settings(name: str, model: str, options: FunctionOptions) -> FunctionSpec:
    """Check the options at once, where they are written; the source comes at deploy."""
    fields: dict[str, Any] = dict(options)
    if options.get("tools"):
        fields["tools"] = definitions(options["tools"])
    limits = {_LIMITS[option]: fields.pop(option) for option in _LIMITS if option in fields}
    if limits:
        fields["limits"] = calls.request(Limits, **limits)
    return calls.request(FunctionSpec, **{**fields, "name": name, "model": model})
