"""What is primed, when, and what goes: with a loop and templates that do as the test says."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from quickthaw.errors import NotServable
from quickthaw.types import FunctionSpec, Version
from quickthaw_platform.checkpoints.tiers.prefixes import PrefixFiles
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.worker import frames
from quickthaw_platform.worker.beginning import PLAIN_CHAT, Beginning
from quickthaw_platform.worker.beginnings import Beginnings
from quickthaw_platform.worker.link import Link
from quickthaw_platform.worker.loop import Loop, Timer
from quickthaw_platform.worker.prefix_learner import sample_of
from quickthaw_platform.worker.primed import MAX_TRIES, READING_SECONDS, PrimedTemplates, usable_budget
from quickthaw_platform.worker.primed_process import Hooks, PrimeOrder
from quickthaw_platform.worker.templates import Template, TemplateOrder

TEMPLATE = TemplateOrder("echo", Checkpoint("c1", Path("/nowhere"), {"name": "m"}), {})


class FakeLoop:
    """Calls what is ready when the test says so; no time passes but what the test lets pass."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[int], None]] = {}
        self.timers: list[tuple[float, Timer]] = []

    def watch(self, fd: int, call: Callable[[int], None], _events: int = 1) -> None:
        self.watched[fd] = call

    def unwatch(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def post(self, call: Callable[[], None]) -> None:
        call()

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        self.timers.append((seconds, Timer(call)))
        return self.timers[-1][1]

    def run(self) -> None:
        while ready := select.select(list(self.watched), [], [], 0)[0]:
            for fd in ready:
                if fd in self.watched:
                    self.watched[fd](1)

    def passes(self, seconds: float) -> None:
        due = [timer for after, timer in self.timers if after <= seconds]
        self.timers = [(after, timer) for after, timer in self.timers if after > seconds]
        for timer in due:
            timer.fire()


class AtOnce(Executor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        fn(*args, **kwargs)
        return Future()


@dataclass
class FakeTemplate:
    """Keeps the sockets of the primed templates that it was told to fork."""

    ends: list[socket.socket] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)

    @property
    def link(self) -> FakeTemplate:
        return self

    def send(self, frame: dict[str, Any], fds: Sequence[socket.socket]) -> None:
        self.orders.append(frame)
        self.ends.append(fds[0].dup())


@dataclass
class World:
    folder: Path
    budget: int = 100
    busy: bool = False
    there: bool = True
    loop: FakeLoop = field(default_factory=FakeLoop)
    template: FakeTemplate = field(default_factory=FakeTemplate)
    gone: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    changes: int = 0

    def __post_init__(self) -> None:
        self.files = PrefixFiles(self.folder, 1000, None, lambda _id: False, "n1")
        self.primed = PrimedTemplates(
            cast("Loop", self.loop),
            self.files,
            self.budget,
            template=lambda _key: cast("Template", self.template) if self.there else None,
            is_busy=lambda: self.busy,
            hooks=Hooks(
                forked=lambda _instance, _pid: None,
                exited=lambda _pid, _status: None,
                made=lambda _checkpoint, name: self.made.append(name),
                gone=self.gone.append,
                changed=self._change,
            ),
            threads=AtOnce(),
        )

    def _change(self) -> None:
        self.changes += 1

    def want(self, version: str, beginning: Beginning | None = None) -> None:
        self.primed.want(PrimeOrder(version, TEMPLATE, beginning or Beginning(prefix=version)))

    def say(self, number: int, **frame: Any) -> None:
        frames.send(self.template.ends[number], frame)
        self.loop.run()

    def hears(self, number: int) -> list[str]:
        """Return the kinds of frames that a primed template has got; `end` where its socket was closed."""
        end = self.template.ends[number]
        end.setblocking(False)
        receiver = frames.Receiver(end)
        kinds: list[str] = []
        try:
            while (received := receiver.read()) is not None:
                kinds += [frame["t"] for frame in received]
        except BlockingIOError:
            return kinds
        return [*kinds, "end"]

    def reads(self, number: int, size: int = 1, *, computed: bool = True, digest: str = "") -> None:
        """Have a primed template find its beginning read."""
        self.say(number, t="prefix", digest=digest or f"{number:032x}")
        assert self.hears(number) == ["file"]
        [name] = [p.file for p in self.primed._by_key.values() if not p.ready]
        (self.folder / "c1" / name).write_bytes(b"kv")
        self.say(number, t="primed", bytes=size, tokens=9, computed=computed)

    def prime(self, version: str, size: int = 1) -> None:
        self.want(version)
        self.reads(len(self.template.ends) - 1, size)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.primed.close()
    for end in made.template.ends:
        end.close()


def test_a_version_is_primed_once_its_beginning_was_read_and_not_before(world: World) -> None:
    world.want("v1")
    assert world.primed.find("v1", TEMPLATE.key) is None
    assert world.primed.versions() == frozenset()
    world.reads(0)
    assert world.primed.versions() == {"v1"}
    assert world.primed.find("v1", TEMPLATE.key) is not None
    assert world.primed.find("v1", "another template") is None
    assert world.primed.find("v2", TEMPLATE.key) is None
    assert world.changes == 1
    assert len(world.made) == 1


def test_nothing_is_read_while_a_start_waits(world: World) -> None:
    world.busy = True
    world.want("v1")
    assert world.template.orders == []
    world.busy = False
    world.primed.look()
    assert [order["t"] for order in world.template.orders] == ["prime"]


def test_one_beginning_is_read_after_the_other(world: World) -> None:
    for version in ("v1", "v2", "v1"):
        world.want(version)
    assert len(world.template.ends) == 1
    world.reads(0)
    world.reads(1)
    assert world.primed.versions() == {"v1", "v2"}
    assert len(world.template.ends) == 2


def test_versions_that_begin_alike_share_one(world: World) -> None:
    for version in ("v1", "v2"):
        world.want(version, Beginning(prefix="same"))
    world.reads(0)
    assert world.primed.versions() == {"v1", "v2"}
    world.primed.forget_versions({"v1"})
    assert world.primed.versions() == {"v2"}
    assert world.hears(0) == []
    world.primed.forget_versions({"v2"})
    assert world.hears(0) == ["leave", "end"]


def test_the_one_not_used_for_longest_leaves_when_there_is_too_much(world: World) -> None:
    for version in ("v1", "v2"):
        world.prime(version, 50)
    world.primed.find("v1", TEMPLATE.key)
    world.prime("v3", 50)
    assert world.primed.versions() == {"v1", "v3"}
    assert world.hears(1) == ["leave", "end"]
    assert len(list(world.folder.glob("c1/*.kv"))) == 3  # to be read when it is wanted again
    world.want("v2")
    assert len(world.template.ends) == 4


def test_one_that_is_too_large_alone_leaves_and_is_not_tried_again(world: World) -> None:
    world.prime("v1", 10)
    world.prime("v2", 101)
    assert world.primed.versions() == {"v1"}
    world.want("v2")
    assert len(world.template.ends) == 2


def test_without_a_budget_none_is_made(tmp_path: Path) -> None:
    world = World(tmp_path, budget=0)
    world.want("v1")
    beginnings = Beginnings(world.primed)
    teach(beginnings, range(40))
    assert world.template.orders == []
    assert beginnings.versions() == frozenset()  # nothing is kept of prompts either


@pytest.mark.parametrize(("device", "usable"), [("cpu", 100), ("cuda:0", 0)])
def test_nothing_is_primed_for_instances_that_compute_on_a_gpu(device: str, usable: int) -> None:
    assert usable_budget(100, device) == usable


def test_what_cannot_be_primed_is_not_tried_again_and_the_next_is(world: World) -> None:
    world.want("v1")
    world.want("v2")
    world.say(0, t="failed", error=NotServable("no").to_json())
    world.template.ends[0].close()
    world.loop.run()
    world.loop.passes(0.5)
    assert len(world.template.ends) == 2
    world.want("v1")
    world.reads(1)
    assert len(world.template.ends) == 2
    assert len(world.gone) == 1


def test_one_that_was_killed_while_it_read_is_tried_again_but_not_for_ever(world: World) -> None:
    for number in range(MAX_TRIES + 1):
        world.want("v1")
        if number < MAX_TRIES:
            world.template.ends[number].close()
            world.loop.run()
            world.loop.passes(0.5)
    assert len(world.template.ends) == MAX_TRIES


def test_one_that_does_not_end_reading_is_given_up(world: World) -> None:
    world.want("v1")
    world.loop.passes(READING_SECONDS)
    assert world.hears(0)[-1] == "end"
    world.want("v1")
    assert len(world.template.ends) == 1


def test_they_go_with_their_template_and_no_other_is_asked(world: World) -> None:
    world.prime("v1")
    world.primed.forget_template("another")
    assert world.primed.versions() == {"v1"}
    world.there = False
    world.primed.forget_template(TEMPLATE.key)
    assert world.primed.versions() == frozenset()
    world.want("v1")
    assert len(world.template.ends) == 1


def test_at_the_end_instances_end_too(world: World) -> None:
    world.prime("v1")
    world.primed.close()
    assert world.hears(0) == ["end"]  # and not `leave`


VERSION = Version(
    id="v1", function="f", number=1, checkpoint="c1", created_at=1.0, spec=FunctionSpec(name="f", model="m")
)


def test_a_version_with_an_adapter_is_not_primed(world: World) -> None:
    beginnings = Beginnings(world.primed)
    named = FunctionSpec(name="f", model="m", adapter="lora", system="Be kind.")
    beginnings.ready(VERSION.model_copy(update={"spec": named, "adapter_checkpoint": "a1"}), TEMPLATE)
    assert world.template.orders == []
    beginnings.ready(VERSION.model_copy(update={"spec": named}), TEMPLATE)
    assert len(world.template.orders) == 1


def teach(beginnings: Beginnings, tokens: Sequence[int], version: Version = VERSION) -> None:
    for number in range(64):
        beginnings.prompt(version, TEMPLATE, sample_of((*tokens, 1000 + number)))


def test_a_version_that_names_no_beginning_is_primed_with_what_its_calls_share(world: World) -> None:
    beginnings = Beginnings(world.primed)
    teach(beginnings, range(40))
    assert [order["beginning"]["tokens"] for order in world.template.orders] == [list(range(40))]
    world.reads(0)
    assert beginnings.template_of(VERSION, TEMPLATE) is not None
    assert beginnings.versions() == {"v1"}


def test_a_version_of_which_nothing_is_known_is_primed_for_plain_chats_until_its_calls_teach_more(
    world: World,
) -> None:
    beginnings = Beginnings(world.primed)
    beginnings.ready(VERSION, TEMPLATE)
    assert [order["beginning"] for order in world.template.orders] == [PLAIN_CHAT.frame()]
    world.reads(0)
    assert beginnings.template_of(VERSION, TEMPLATE) is not None
    teach(beginnings, range(40))
    world.reads(1)
    assert world.hears(0) == ["leave", "end"]
    assert world.primed.versions() == {"v1"}


def test_versions_of_one_checkpoint_share_what_plain_chats_begin_with(world: World) -> None:
    beginnings = Beginnings(world.primed)
    beginnings.ready(VERSION, TEMPLATE)
    world.reads(0)
    beginnings.ready(VERSION.model_copy(update={"id": "v2"}), TEMPLATE)
    assert len(world.template.ends) == 1
    assert world.primed.versions() == {"v1", "v2"}


def test_a_plain_chat_that_cannot_be_primed_is_nothing_to_warn_of(world: World) -> None:
    with capture_logs() as logs:
        Beginnings(world.primed).ready(VERSION, TEMPLATE)
        world.say(0, t="failed", error=NotServable("its template puts nothing before the user's words").to_json())
        world.template.ends[0].close()
        world.loop.run()
        world.loop.passes(0.5)
    assert logs == []
    Beginnings(world.primed).ready(VERSION, TEMPLATE)
    assert len(world.template.ends) == 1


def test_a_model_that_embeds_is_not_primed(world: World) -> None:
    checkpoint = Checkpoint("c1", Path("/nowhere"), {"name": "m", "task": "embed"})
    Beginnings(world.primed).ready(VERSION, TemplateOrder("echo", checkpoint, {}))
    assert world.template.orders == []


def test_what_calls_begin_with_later_takes_the_place_of_what_they_did(world: World) -> None:
    beginnings = Beginnings(world.primed)
    teach(beginnings, range(40))
    world.reads(0)
    teach(beginnings, range(100, 140))
    assert world.primed.versions() == {"v1"}  # by the old one, until the new one has read
    world.reads(1)
    assert world.hears(0) == ["leave", "end"]
    assert world.primed.versions() == {"v1"}


def test_nothing_of_what_was_learnt_stays_on_the_disk(world: World) -> None:
    beginnings = Beginnings(world.primed)
    teach(beginnings, range(40))
    world.reads(0)
    assert list(world.folder.glob("c1/*")) == []
    teach(beginnings, range(100, 140))
    world.say(1, t="prefix", digest="12")
    (world.folder / "c1" / "n1-echo-12.kv").write_bytes(b"kv")
    world.template.ends[1].close()  # killed when it had just written
    world.loop.run()
    world.loop.passes(0.5)
    assert list(world.folder.glob("c1/*")) == []


def test_what_was_learnt_goes_with_the_version(world: World) -> None:
    beginnings = Beginnings(world.primed)
    teach(beginnings, range(40))
    world.reads(0)
    beginnings.forget({"v1"})
    assert world.hears(0) == ["leave", "end"]
    beginnings.ready(VERSION, TEMPLATE)
    assert world.template.orders[-1]["beginning"] == PLAIN_CHAT.frame()


def test_what_is_named_is_primed_when_an_instance_is_ready(world: World) -> None:
    beginnings = Beginnings(world.primed)
    named = VERSION.model_copy(update={"spec": FunctionSpec(name="f", model="m", system="Be kind.")})
    beginnings.ready(named, TEMPLATE)
    assert [order["beginning"]["system"] for order in world.template.orders] == ["Be kind."]


def test_files_of_named_beginnings_alone_may_leave_the_node() -> None:
    order = PrimeOrder("v1", TEMPLATE, Beginning(prefix="x"))
    assert order.shared
    assert not replace(order, beginning=Beginning(tokens=(1,))).shared


def test_a_link_is_all_that_an_instance_needs_of_what_forks_it(world: World) -> None:
    world.prime("v1")
    found = world.primed.find("v1", TEMPLATE.key)
    assert found is not None
    assert isinstance(found.link, Link)
    found.link.send({"t": "instance"})
    assert world.hears(0) == ["instance"]
