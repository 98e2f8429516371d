from __future__ import annotations

import errno
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, Manifest, weights_paths
from quickthaw_platform.checkpoints.reading.load import Load, LoadReport
from quickthaw_platform.checkpoints.tiers import node as node_module
from quickthaw_platform.checkpoints.tiers import status
from quickthaw_platform.errors import CheckpointNotFound, Conflict, StartFailed
from tests.unit.checkpoints.tiers.conftest import SIZE, Node, expected, mapped

MakeNode = Callable[..., Node]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("partitions", [1, 3])
def test_from_a_cold_disk_it_is_read_once_for_all(node: Node, partitions: int) -> None:
    checkpoint = node.add("m", partitions=partitions)
    node.cold(checkpoint)
    held = node.tiers.acquire(checkpoint, "i1", 1)
    assert held.tier == "disk"
    assert mapped(held) == expected("m", partitions=partitions)
    again = node.tiers.acquire(checkpoint, "i2", 1)
    assert again.tier in ("dram", "disk")  # the latter while the load's last thread winds up
    assert again.checkpoint.weights == held.checkpoint.weights
    assert (node.tiers.pool.huge and bool(held.checkpoint.weights)) or not node.tiers.pool.huge


def test_what_is_in_the_page_cache_is_mapped_where_it_is(node: Node) -> None:
    held = node.tiers.acquire(node.add("m"), "i1", 1)
    assert (held.tier, held.fetched_bytes) == ("dram", 0)
    assert held.checkpoint.weights == ()
    assert mapped(held) == expected("m")
    assert node.tiers.pool.held_bytes == 0


def test_many_at_once_cause_one_load(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = node.add("m", keep=False)
    loads: list[int] = []
    run = Load.run

    def counted(load: Load) -> LoadReport:
        loads.append(1)
        return run(load)

    monkeypatch.setattr(Load, "run", counted)
    with ThreadPoolExecutor(8) as threads:
        held = list(threads.map(lambda i: node.tiers.acquire(checkpoint, f"i{i}", 5), range(8)))
        contents = list(threads.map(mapped, held))
    assert contents == [expected("m")] * 8
    assert loads == [1]
    whole = Manifest.of(held[0].checkpoint).weights_bytes
    assert sorted(each.fetched_bytes for each in held) == [0] * 7 + [whole]


def test_from_beyond_it_comes_into_memory_and_then_onto_the_disk(node: Node) -> None:
    checkpoint = node.add("m", partitions=2, keep=False)
    held = node.tiers.acquire(checkpoint, "i1", 1)
    assert held.tier == "remote"
    assert (held.checkpoint.path / "config.json").read_text() == '"m"'
    assert mapped(held) == expected("m", partitions=2)
    node.tiers.pull(checkpoint)  # joins, and waits for the disk too
    assert node.on_disk() == {checkpoint}
    stored = node.store.find(checkpoint)
    assert [path.read_bytes() for path in weights_paths(stored)] == expected("m", partitions=2)
    node.tiers.release("i1")
    node.tiers.evict(checkpoint, "dram")
    assert not held.checkpoint.path.exists()
    assert node.tiers.memory.status().used_bytes == 0


def test_what_is_nowhere_is_said_to_be(node: Node) -> None:
    with pytest.raises(CheckpointNotFound, match="nothing"):
        node.tiers.acquire("nothing", "i1", 1)
    assert node.tiers.memory.status().used_bytes == 0


def test_a_chunk_that_is_wrong_on_the_disk_is_repaired_from_beyond(node: Node) -> None:
    checkpoint = node.add("m", push=True)
    (path,) = weights_paths(node.store.find(checkpoint))
    flip(path, CHUNK_BYTES + 7)
    held = node.tiers.acquire(checkpoint, "i1", 1)
    assert mapped(held) == expected("m")
    assert [path.read_bytes()] == expected("m")


def test_a_chunk_that_is_wrong_everywhere_fails_the_start_and_leaves_nothing(node: Node) -> None:
    checkpoint = node.add("m")
    (path,) = weights_paths(node.store.find(checkpoint))
    flip(path, 7)
    for user in ("i1", "i2"):  # the second try meets the same, and no trace of the first
        held = node.tiers.acquire(checkpoint, user, 1)
        with pytest.raises(StartFailed, match=r"chunk 0 of weights-0\.safetensors is wrong"):
            mapped(held)
        node.tiers.release(user)
        work = node.tiers.memory.find(checkpoint)
        assert work is None or work.work is not None
        while node.tiers.memory.find(checkpoint) is not None:
            pass
    assert set(node.dropped) == {checkpoint}
    assert node.tiers.memory.status().used_bytes == 0
    flip(path, 7)
    assert mapped(node.tiers.acquire(checkpoint, "i3", 1)) == expected("m")


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), MemoryError("no memory"), KeyError("ours")]
)
def test_a_load_that_fails_by_whatever_error_fails_the_start_and_leaves_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_load: Load, _chunk: object) -> None:
        raise error

    checkpoint = node.add("m", keep=False)
    monkeypatch.setattr(Load, "_note", broken)
    held = node.tiers.acquire(checkpoint, "i1", 1)
    with pytest.raises(StartFailed, match=f"the load failed: {type(error).__name__}"):
        mapped(held)
    node.tiers.release("i1")
    while not node.dropped:  # by the load's own thread, which may not have got so far
        pass
    assert node.tiers.memory.find(checkpoint) is None
    assert node.tiers.memory.status().used_bytes == 0
    assert node.dropped == [checkpoint]
    monkeypatch.undo()
    assert mapped(node.tiers.acquire(checkpoint, "i2", 1)) == expected("m")


def test_a_load_whose_checkpoint_is_forgotten_meanwhile_is_no_failure(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, forgotten, over = Event(), Event(), Event()

    def interrupted(_load: Load, _chunk: object) -> None:
        begun.set()
        forgotten.wait(20)
        over.set()
        raise ValueError("mmap closed or invalid")

    checkpoint = node.add("m", keep=False)
    monkeypatch.setattr(Load, "_note", interrupted)
    node.tiers.acquire(checkpoint, "i1", 1)
    node.tiers.release("i1")
    assert begun.wait(20)
    node.tiers.forget(checkpoint)
    forgotten.set()
    assert over.wait(20)
    node.tiers.close()  # after the end of the load's thread
    assert node.dropped == [checkpoint]


def test_a_truncated_file_is_fetched_again(node: Node) -> None:
    checkpoint = node.add("m", push=True)
    (path,) = weights_paths(node.store.find(checkpoint))
    truncate(path)
    assert mapped(node.tiers.acquire(checkpoint, "i1", 1)) == expected("m")
    node.tiers.pull(checkpoint)
    assert [path.read_bytes()] == expected("m")


def test_a_truncated_file_that_is_nowhere_else_fails_the_start_with_its_name(node: Node) -> None:
    checkpoint = node.add("m")
    (path,) = weights_paths(node.store.find(checkpoint))
    truncate(path)
    with pytest.raises(StartFailed, match=r"weights-0\.safetensors has 100 bytes"):
        node.tiers.acquire(checkpoint, "i1", 1)
    assert path.exists()


def test_a_budget_smaller_than_the_checkpoint_is_said_with_the_sizes(make_node: MakeNode) -> None:
    node = make_node(dram_budget=SIZE - 1)
    with pytest.raises(StartFailed, match=r"takes 8 MB of memory .* raise QUICKTHAW_DRAM_BUDGET"):
        node.tiers.acquire(node.add("m"), "i1", 1)


def test_what_nobody_uses_makes_room_the_least_used_first(make_node: MakeNode) -> None:
    node = make_node(dram_budget=2 * SIZE)
    often, seldom, new = node.add("often"), node.add("seldom"), node.add("new")
    for round_number in range(3):
        node.tiers.acquire(often, f"i{round_number}", 1)
        node.tiers.release(f"i{round_number}")
    node.tiers.acquire(seldom, "i8", 1)
    node.tiers.release("i8")
    assert mapped(node.tiers.acquire(new, "i9", 1)) == expected("new")
    assert node.tiers.memory.find(seldom) is None
    assert node.tiers.memory.find(often) is not None
    assert node.tiers.memory.status().used_bytes == 2 * SIZE


def test_under_pressure_templates_go_before_a_start_waits(make_node: MakeNode) -> None:
    node = make_node(dram_budget=SIZE)
    idle, new = node.add("idle"), node.add("new")
    node.tiers.acquire(idle, "i1", 1)
    node.tiers.memory.keep_for_template(idle, "t1")
    node.tiers.release("i1")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(node.tiers.acquire, new, "i2", 30)
        while idle not in node.dropped:  # that is how the template's owner is told
            pass
        assert node.tiers.memory.find(idle) is not None  # it maps the weights until its process has ended
        node.tiers.release("t1")
        assert mapped(waiting.result()) == expected("new")
    assert node.tiers.memory.find(idle) is None


def test_what_is_in_use_is_never_evicted(make_node: MakeNode) -> None:
    node = make_node(dram_budget=SIZE)
    used, new = node.add("used"), node.add("new")
    held = node.tiers.acquire(used, "i1", 1)
    with pytest.raises(StartFailed, match="used are in use"):
        node.tiers.acquire(new, "i2", 0)
    assert mapped(held) == expected("used")
    assert node.dropped == []


def test_a_start_that_waits_for_room_ends_with_its_node(make_node: MakeNode) -> None:
    node = make_node(dram_budget=SIZE)
    node.tiers.acquire(node.add("used"), "i1", 1)
    new = node.add("new")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(node.tiers.acquire, new, "i2", 300)
        node.tiers.close()
        with pytest.raises(StartFailed, match="shutting down"):
            waiting.result()


def test_memory_of_what_was_dropped_while_in_use_is_free_when_its_user_is_gone(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "TEMPLATE_END_SECONDS", 0.0)
    checkpoint = node.add("m", keep=False)
    held = node.tiers.acquire(checkpoint, "i1", 1)
    node.tiers.pull(checkpoint)
    node.tiers.evict(checkpoint, "dram")
    assert mapped(held) == expected("m")
    assert node.tiers.memory.status().used_bytes == SIZE
    node.tiers.release("i1")
    assert node.tiers.memory.status().used_bytes == 0


def test_a_disk_without_room_leaves_it_in_memory_only(make_node: MakeNode) -> None:
    node = make_node(disk_budget=SIZE)
    checkpoint = node.add("m", keep=False)
    assert mapped(node.tiers.acquire(checkpoint, "i1", 1)) == expected("m")
    node.tiers.pull(checkpoint)
    assert node.on_disk() == set()


def test_the_disk_gives_up_what_is_beyond_too_and_nothing_else(make_node: MakeNode) -> None:
    node = make_node(disk_budget=3 * (SIZE + 100))
    only, copied = node.add("only"), node.add("copied", push=True)
    first, second = node.add("first", keep=False), node.add("second", keep=False)
    node.tiers.pull(first)
    assert node.on_disk() == {only, copied, first}
    node.tiers.pull(second)
    assert only in node.on_disk()
    assert second in node.on_disk()
    assert copied not in node.on_disk()


def test_two_agents_on_one_disk_do_not_take_from_each_other(make_node: MakeNode) -> None:
    one, two = make_node("n1"), make_node("n2")
    checkpoint = one.add("m", push=True)
    two.tiers.note_remote(frozenset(two.remote.ids()))
    held = one.tiers.acquire(checkpoint, "i1", 1)
    with pytest.raises(Conflict, match="in use"):
        two.tiers.evict(checkpoint, "disk")
    assert mapped(held) == expected("m")
    one.tiers.release("i1")
    one.tiers.evict(checkpoint, "dram")
    two.tiers.evict(checkpoint, "disk")
    assert one.on_disk() == set()


def test_two_agents_that_fetch_the_same_at_once_both_have_it(make_node: MakeNode) -> None:
    one, two = make_node("n1"), make_node("n2")
    checkpoint = one.add("m", keep=False)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda node: node.tiers.pull(checkpoint), (one, two)))
    assert one.on_disk() == {checkpoint}
    assert mapped(two.tiers.acquire(checkpoint, "i1", 1)) == expected("m")


def test_eviction_from_the_disk_waits_for_the_templates_that_map_it(node: Node) -> None:
    checkpoint = node.add("m", push=True)
    node.tiers.acquire(checkpoint, "i1", 1)
    node.tiers.memory.keep_for_template(checkpoint, "t1")
    node.tiers.release("i1")
    with ThreadPoolExecutor(1) as thread:
        evicting = thread.submit(node.tiers.evict, checkpoint, "disk")
        while checkpoint not in node.dropped:
            pass
        node.tiers.release("t1")
        evicting.result()
    assert node.on_disk() == set()


def test_the_only_copy_is_not_evicted(node: Node) -> None:
    checkpoint = node.add("m")
    with pytest.raises(Conflict, match="the only copy"):
        node.tiers.evict(checkpoint, "disk")
    assert node.on_disk() == {checkpoint}


def test_what_is_forgotten_is_nowhere(node: Node) -> None:
    checkpoint = node.add("m", push=True)
    node.tiers.acquire(checkpoint, "i1", 1)
    node.tiers.release("i1")
    node.tiers.forget(checkpoint)
    assert node.on_disk() == set()
    assert node.remote.ids() == []
    assert node.dropped == [checkpoint]
    with pytest.raises(CheckpointNotFound):
        node.tiers.acquire(checkpoint, "i2", 1)


def test_a_node_says_what_it_has_and_how_fast_it_came(node: Node) -> None:

    big = node.add("big", size=3 * CHUNK_BYTES, keep=False)
    node.tiers.pull(big)
    said = json.loads(status.describe(node.tiers, {"x": "refused"}))
    assert said["push_failures"] == {"x": "refused"}
    assert said["dram"] == [big]
    assert said["arriving"] == {}
    assert said["bandwidths"]["remote"] > 0
    assert said["dram_used_bytes"] == 3 * CHUNK_BYTES
    assert said["disk_used_bytes"] == 3 * CHUNK_BYTES + len('"big"')
