"""Which zygote an instance comes from, and what that has imported."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from quickthaw.types import Isolation
from quickthaw_backends.engines.vllm_engine import VllmEngine
from quickthaw_platform import plugins
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.errors import PluginBroken
from quickthaw_platform.worker import zygotes
from quickthaw_platform.worker.zygotes import Zygotes, named_by_engines, preloads

HEAVY = ("heavy",)
LIGHT = ("light",)


def test_each_engine_has_the_modules_that_it_names() -> None:
    assert preloads({"one": HEAVY, "other": LIGHT}, None) == {"one": HEAVY, "other": LIGHT}


def test_an_engine_that_names_none_shares_the_zygote_that_imports_least() -> None:
    named = {"any": (), "one": (*HEAVY, *LIGHT), "other": LIGHT}
    assert preloads(named, None)["any"] == LIGHT


def test_engines_that_name_nothing_share_one_that_imports_nothing() -> None:
    assert preloads({"any": (), "other": ()}, None) == {"any": (), "other": ()}


@pytest.mark.parametrize("chosen", [(), HEAVY])
def test_modules_that_are_chosen_are_those_of_all(chosen: tuple[str, ...]) -> None:
    assert preloads({"one": HEAVY, "other": LIGHT, "any": ()}, chosen) == dict.fromkeys(("one", "other", "any"), chosen)


def test_an_engine_has_a_zygote_of_its_own_where_its_library_is_installed() -> None:
    found = preloads(named_by_engines(), None)
    assert found["llamacpp"] == found["echo"] != found["transformers"]
    assert (found["vllm"] == found["echo"]) == (VllmEngine.missing() is not None)


def test_engines_that_say_nothing_or_do_not_load_or_lack_their_library_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def engine_class(name: str) -> type:
        if name == "broken":
            raise PluginBroken("it does not load")
        missing = "install it" if name == "missing" else None
        more = {} if name == "older" else {"preloads": HEAVY}
        return type("Kind", (), {"missing": classmethod(lambda _: missing), **more})

    monkeypatch.setattr(plugins, "names", lambda _group: ["broken", "older", "missing", "there"])
    monkeypatch.setattr(plugins, "engine_class", engine_class)
    assert named_by_engines() == {"broken": (), "older": (), "missing": (), "there": HEAVY}


class Client:
    """Stands for the client of one zygote."""

    made: list[Client]

    def __init__(self, _loop: object, modules: tuple[str, ...], *, on_ready: Callable[[Grant], None], **_: Any) -> None:
        self.modules = modules
        self.on_ready = on_ready
        self.orders: list[str] = []
        Client.made.append(self)

    def fork_template(self, order: dict[str, Any], _end: socket.socket, _files: object) -> None:
        """Note the order's key."""
        self.orders.append(order["key"])


def test_nothing_is_forked_before_all_are_ready_and_the_node_can_be_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    Client.made = []
    monkeypatch.setattr(zygotes, "ZygoteClient", Client)
    monkeypatch.setattr(zygotes, "named_by_engines", lambda: {"one": HEAVY, "other": LIGHT})
    grant, granted = Grant(Isolation.NONE, ""), list[Grant]()
    ignored: Any = None
    found = Zygotes(ignored, None, isolation=None, on_forked=ignored, on_exited=ignored, on_ready=granted.append)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        heavy, light = Client.made
        found.fork_template({"key": "first", "engine": "other"}, theirs, [])
        light.on_ready(grant)
        found.fork_template({"key": "second", "engine": "one"}, theirs, [])
        assert (light.orders, heavy.orders, granted) == ([], [], [])
        heavy.on_ready(grant)
        found.fork_template({"key": "third", "engine": "of nobody"}, theirs, [])
        light.on_ready(grant)  # it was started again
    assert (light.orders, heavy.orders, granted) == (["first"], ["second", "third"], [grant, grant])
