from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from quickthaw_platform.checkpoints.tiers.prefixes import CHECKSUM, OLD_CHECKSUM, PrefixFiles
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import RemoteUnavailable

Make = Callable[..., PrefixFiles]
SECRET, OTHER = b"s" * 32, b"o" * 32


@pytest.fixture
def remote(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "remote")


@pytest.fixture
def make(tmp_path: Path, remote: DirectoryStore) -> Make:
    def made(
        node: str = "a",
        budget: int = 1000,
        *,
        beyond: frozenset[str] = frozenset({"c1"}),
        secrets: Sequence[bytes] = (SECRET,),
    ) -> PrefixFiles:
        return PrefixFiles(tmp_path / node, budget, remote, beyond.__contains__, "n1", lambda: secrets)

    return made


def compute(files: PrefixFiles, name: str = "x.kv", content: bytes = b"kv", *, shared: bool = True) -> Path:
    path = files.obtain("c1", name, shared=shared)
    path.write_bytes(content)
    files.keep("c1", name, shared=shared)
    return path


def test_what_was_computed_is_found_again(make: Make) -> None:
    compute(make())
    assert make().obtain("c1", "x.kv", shared=True).read_bytes() == b"kv"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"vk"),
        lambda path: path.write_bytes(b"k"),
        lambda path: path.with_name("x.kv" + CHECKSUM).write_text("0"),
        lambda path: path.with_name("x.kv" + CHECKSUM).write_bytes(b"\xff"),
        lambda path: path.with_name("x.kv" + CHECKSUM).unlink(),  # its writer was killed before it was done
    ],
    ids=["other bytes", "cut off", "another checksum", "no text", "no checksum"],
)
def test_a_file_that_is_not_what_was_computed_counts_as_nothing(make: Make, spoil: Callable[[Path], object]) -> None:
    spoil(compute(make(), shared=False))
    assert not make().obtain("c1", "x.kv", shared=False).exists()


def test_another_node_fetches_what_one_has_computed(make: Make) -> None:
    compute(make("a"))
    path = make("b").obtain("c1", "x.kv", shared=True)
    assert path.read_bytes() == b"kv"
    path.with_name("y.kv").touch()
    assert make("b", beyond=frozenset()).obtain("c1", "x.kv", shared=True).exists()  # its own by now


def test_what_is_beyond_and_broken_is_not_taken(make: Make, remote: DirectoryStore) -> None:
    compute(make("a"))
    remote.put("c1/prefixes/x.kv", b"vk")
    path = make("b").obtain("c1", "x.kv", shared=True)
    assert list(path.parent.iterdir()) == []


def test_what_another_secret_was_used_for_counts_as_nothing_and_one_before_is_still_read(
    make: Make, remote: DirectoryStore
) -> None:
    compute(make("a"))
    assert not make("a", beyond=frozenset(), secrets=[OTHER]).obtain("c1", "x.kv", shared=True).exists()
    assert not make("b", secrets=[OTHER]).obtain("c1", "x.kv", shared=True).exists()
    assert make("b", secrets=[OTHER, SECRET]).obtain("c1", "x.kv", shared=True).exists()


def test_a_node_without_a_secret_keeps_what_it_computes_and_exchanges_nothing(
    make: Make, remote: DirectoryStore
) -> None:
    compute(make("a", secrets=()))
    assert make("a", secrets=()).obtain("c1", "x.kv", shared=True).exists()
    assert remote.list() == []
    compute(make("b"), "other.kv")
    assert not make("a", secrets=()).obtain("c1", "other.kv", shared=True).exists()


def test_what_lies_there_of_older_releases_is_taken_away(make: Make) -> None:
    path = compute(make())
    path.with_name("x.kv" + CHECKSUM).rename(path.with_name("x.kv" + OLD_CHECKSUM))
    assert not make(beyond=frozenset()).obtain("c1", "x.kv", shared=True).exists()
    assert list(path.parent.iterdir()) == []


def test_what_was_learnt_from_calls_stays_on_its_node(make: Make, remote: DirectoryStore) -> None:
    compute(make("a"), shared=False)
    assert remote.list() == []
    compute(make("a"), "named.kv")
    assert not make("b").obtain("c1", "named.kv", shared=False).exists()


def test_nothing_is_put_beside_a_checkpoint_that_is_not_beyond(make: Make, remote: DirectoryStore) -> None:
    compute(make("a", beyond=frozenset()))
    assert remote.list() == []


class Broken(DirectoryStore):
    def head(self, key: str) -> RemoteObject:
        raise RemoteUnavailable(f"no {key}")


def test_without_the_remote_tier_it_is_computed(tmp_path: Path) -> None:
    files = PrefixFiles(tmp_path / "a", 1000, Broken(tmp_path / "remote"), lambda _id: True, "n1")
    assert compute(files).read_bytes() == b"kv"


def test_what_was_not_used_for_longest_goes_when_there_is_too_much(make: Make) -> None:
    files = make(budget=10)
    for age, name in enumerate(("old.kv", "older.kv", "used.kv")):
        path = compute(files, name, b"1234" if name != "used.kv" else b"12")
        os.utime(path, (1000 - age, 1000 - age))
    files.obtain("c1", "used.kv", shared=True)
    compute(files, "new.kv", b"1234")
    left = {path.name for path in (path.parent).iterdir()}
    assert left == {name + end for name in ("old.kv", "used.kv", "new.kv") for end in ("", CHECKSUM)}


def test_a_file_larger_than_the_budget_does_not_stay(make: Make) -> None:
    assert not compute(make(budget=1)).exists()
    compute(make("a"))
    assert not make("b", budget=1).obtain("c1", "x.kv", shared=True).exists()


def test_all_of_a_checkpoint_goes_with_it(make: Make) -> None:
    files = make()
    path = compute(files)
    files.forget("c1")
    assert not path.parent.exists()
    files.keep("c1", "x.kv", shared=True)  # what was under way then does no harm


def test_what_is_not_shared_does_not_outlive_the_agent_that_learnt_it(make: Make, tmp_path: Path) -> None:
    files = make()
    mine, shared = (files.name("echo", "12", shared=shared) for shared in (False, True))
    others = mine.replace("n1", "n2")
    for name in (mine, shared, others):
        compute(files, name, shared=False)
    make()
    left = {path.name for path in (tmp_path / "a" / "c1").iterdir()}
    assert left == {name + end for name in (shared, others) for end in ("", CHECKSUM)}
