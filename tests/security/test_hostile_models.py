"""Files of models that were made to harm: each is refused by one short error, in seconds and little memory."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthaw_platform.checkpoints.gguf_header import read_gguf_header
from quickthaw_platform.checkpoints.header import Header, read_header
from quickthaw_platform.checkpoints.importers import package
from quickthaw_platform.checkpoints.importers.checking import check_weights
from quickthaw_platform.checkpoints.importers.gguf_facts import read_facts
from quickthaw_platform.checkpoints.importers.gguf_files import gguf_models, gguf_parts
from quickthaw_platform.checkpoints.importers.package import locate_package
from quickthaw_platform.checkpoints.importers.source import Fetching
from quickthaw_platform.errors import CheckpointBroken, InvalidRequest, QuickthawError
from tests.made_up import examples

pytestmark = pytest.mark.timeout(30 * examples(1))

MOST_CHARACTERS = 3000
"""Of an error's message, whatever stands in the file."""

HUGE = (2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
DIGITS = b"9" * 4000
ONE = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


def safetensors(file: Path, header: bytes, data: bytes = b"") -> Path:
    file.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return file


def many_names(count: int) -> bytes:
    """So many tensors without elements, the last name twice."""
    empty = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return ("{" + ",".join(f'"{name}":{empty}' for name in (*range(count), count - 1)) + "}").encode()


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (many_names(60_000), "'59999' stands in its header twice"),
        (b'{"a":{"dtype":"F32","shape":[' + b",".join([DIGITS] * 3000) + b'],"data_offsets":[0,4]}}', "4,000 digits"),
        (b'{"a":{"dtype":"F32","shape":[' + b"9," * 70_000 + b'9],"data_offsets":[0,4]}}', "70,001 dimensions"),
        (b'{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}', "only whole ones"),
        (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', "only whole ones"),
        (b'{"' + b"a" * 1_000_000 + b'":1}', "has not just a dtype"),
        (b'{"a":{"dtype":"' + b"F" * 1_000_000 + b'","shape":[],"data_offsets":[0,0]}}', "unknown type"),
        (b"[" + b"[]," * 600_000 + b"[]]", "more parts than"),
        (b'{"a":[' + b"0," * 5_000_000 + b"0]}", "more parts than"),
    ],
    ids=[
        "deep lists", "deep objects", "a name twice", "long numbers", "dimensions", "infinity", "no number",
        "long name", "long type", "many lists", "many numbers",
    ],
)  # fmt: skip
def test_a_hostile_safetensors_header_is_refused_with_one_short_error(tmp_path: Path, header: bytes, says: str) -> None:
    file = safetensors(tmp_path / "model.safetensors", header)
    with pytest.raises(CheckpointBroken, match=says) as caught:
        read_header(file)
    assert len(caught.value.message) < MOST_CHARACTERS


def text(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content


def gguf(*parts: bytes, tensors: int = 0, pairs: int = 1) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", 3, tensors, pairs) + b"".join(parts)


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: bytes, shape: tuple[int, ...], offset: int = 0, kind: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


TENSOR = tensor(b"t", (1,))
LONG_KEY = pair(b"general.type", 8, text(b"x" * 1_000_000))
NESTED = pair(b"a", 9, struct.pack("<IQ", 9, 1) * 100_000)


@pytest.mark.parametrize("length", HUGE)
@pytest.mark.parametrize(
    "hostile",
    [
        lambda length: gguf(text(b"", length)),
        lambda length: gguf(pair(b"a", 8, text(b"", length))),
        lambda length: gguf(pair(b"a", 9, struct.pack("<IQ", 8, length))),
        lambda length: gguf(pair(b"a", 9, struct.pack("<IQ", 8, 2) + text(b"", length))),
        lambda length: gguf(pair(b"a", 9, struct.pack("<IQ", 4, length))),
        lambda length: gguf(pairs=length),
        lambda length: gguf(pairs=0, tensors=length),
        lambda length: gguf(pair(b"split.count", 10, number(length))),
        lambda length: gguf(pair(b"general.alignment", 10, number(length))),
        lambda length: gguf(tensor(b"t", (1,), length - length % 32), pairs=0, tensors=1) + bytes(64),
    ],
    ids=["key", "text", "texts", "text in texts", "numbers", "pairs", "tensors", "parts", "alignment", "offset"],
)
def test_a_gguf_length_that_is_a_lie_is_refused(tmp_path: Path, hostile: Callable[[int], bytes], length: int) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(hostile(length))
    with pytest.raises(CheckpointBroken):
        read_gguf_header(file)
    assert gguf_models([file]) == [file]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gguf(NESTED), "unknown type 9"),
        (gguf(pair(b"general.type", 9, struct.pack("<IQ", 4, 0)), TENSOR, tensors=1), "names no general.architecture"),
        (gguf(pair(b"general.type", 4, bytes(4))), "general.type is 0, which is no text"),
        (gguf(pair(b"split.no", 8, text(b"1"))), "split.no is '1', which is no whole number"),
        (gguf(pair(b"split.no", 5, struct.pack("<i", -1))), "part -1 of 0"),
        (gguf(pair(b"a", 4, bytes(4)), pair(b"a", 4, bytes(4)), pairs=2), "'a' stands in its header twice"),
        (gguf(text(b"\xff" * 100)), "utf-8"),
    ],
    ids=["nested", "no architecture", "a number as a type", "a text as a number", "part", "a key twice", "no text"],
)
def test_a_hostile_gguf_file_is_refused_by_what_is_wrong_with_it(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content + bytes(64))
    with pytest.raises((CheckpointBroken, InvalidRequest), match=says):
        read_facts(gguf_parts(file))


def test_a_vocabulary_without_end_is_refused_after_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    with file.open("wb") as opened:
        opened.write(gguf(pair(b"a", 9, struct.pack("<IQ", 8, 1 << 27))))
        opened.truncate(2 << 30)  # empty texts all the way, without a byte on the disk
    with pytest.raises(CheckpointBroken, match="134,217,728 bytes"):
        read_gguf_header(file)


def test_what_a_long_text_is_quoted_for_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    body = gguf(pair(b"general.architecture", 8, text(b"llama")), LONG_KEY, TENSOR, pairs=2, tensors=1)
    file.write_bytes(body.ljust(-(-len(body) // 32) * 32, b"\0") + bytes(4))
    with pytest.raises(InvalidRequest, match="of type 'xxx") as caught:
        read_facts([file])
    assert len(caught.value.message) < MOST_CHARACTERS


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**70) | st.floats() | st.text(max_size=9) | st.just("F32"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "F4", "x"]) | VALUES,
        "shape": st.lists(st.sampled_from([0, 1, 2, 3, 2**31, 2**63 - 1]), max_size=4) | VALUES,
        "data_offsets": st.lists(st.sampled_from([0, 4, 8, 2**63 - 1, -4]), max_size=3) | VALUES,
    },
)
FUZZ = settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    st.dictionaries(st.text(max_size=5) | st.just("__metadata__"), ENTRIES | VALUES, max_size=4), st.binary(max_size=16)
)
def test_a_safetensors_header_is_read_whole_or_refused(tmp_path: Path, entries: dict[str, Any], data: bytes) -> None:
    file = safetensors(tmp_path / "model.safetensors", json.dumps(entries).encode(), data)
    check_whole(read_or_refuse(file), file)


@FUZZ
@given(st.binary(max_size=200), st.integers(0, 400) | st.sampled_from(HUGE))
def test_bytes_are_no_safetensors_file_unless_they_are_one(tmp_path: Path, content: bytes, length: int) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + content)
    check_whole(read_or_refuse(file), file)


def read_or_refuse(file: Path) -> Header | None:
    header: Header | None = None
    with suppress(CheckpointBroken), short_errors():
        header = read_header(file)
    return header


@contextmanager
def short_errors() -> Iterator[None]:
    try:
        yield
    except QuickthawError as error:
        if len(error.message) >= MOST_CHARACTERS:
            pytest.fail(f"the error's message has {len(error.message):,} characters")
        raise


def check_whole(header: Header | None, file: Path) -> None:
    """Every byte behind the header belongs to exactly one tensor."""
    if header is not None:
        begins = [header.data_offset, *(tensor.end for tensor in header.tensors)]
        assert [tensor.begin for tensor in header.tensors] == begins[:-1]
        assert begins[-1] == file.stat().st_size


LENGTHS = st.integers(0, 9) | st.sampled_from(HUGE)
TEXTS = st.builds(lambda content, length: text(content, length), st.binary(max_size=8), st.none() | LENGTHS)
KEYS = [
    b"general.architecture",
    b"general.alignment",
    b"general.type",
    b"split.count",
    b"split.no",
    b"a.context_length",
]
PAIRS = st.builds(
    lambda key, kind, value: key + struct.pack("<I", kind) + value,
    st.sampled_from([text(key) for key in KEYS]) | TEXTS,
    st.integers(0, 13),
    TEXTS | LENGTHS.map(number) | st.builds(lambda k, n: struct.pack("<IQ", k, n), st.integers(0, 13), LENGTHS),
)
TENSORS = st.builds(
    lambda name, dimensions, rest: name + struct.pack("<I", dimensions) + b"".join(map(number, rest)),
    TEXTS,
    st.integers(0, 5),
    st.lists(LENGTHS, max_size=6),
)


@FUZZ
@given(st.lists(PAIRS, max_size=4), st.lists(TENSORS, max_size=3), st.none() | LENGTHS, st.none() | LENGTHS)
def test_a_gguf_file_is_read_or_refused(
    tmp_path: Path, pairs: list[bytes], tensors: list[bytes], pair_count: int | None, tensor_count: int | None
) -> None:
    file = tmp_path / "model.gguf"
    counts = {
        "pairs": len(pairs) if pair_count is None else pair_count,
        "tensors": len(tensors) if tensor_count is None else tensor_count,
    }
    file.write_bytes(gguf(*pairs, *tensors, **counts) + bytes(64))
    with suppress(QuickthawError), short_errors():
        read_facts(gguf_parts(file))
    assert gguf_models([file]) == [file]


def wheel(folder: Path, entries: dict[str, bytes]) -> Path:
    path = folder / "bomb-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


BOMB = {"bomb/weights.bin": bytes(100 << 20), "bomb-1.dist-info/METADATA": b"Name: bomb\n"}


@pytest.mark.parametrize(
    ("entries", "spoil", "says"),
    [
        (BOMB, 0, "unpacks to 104,8"),
        ({"../out": b"x"}, 0, "leads out of it"),
        ({"bomb/a": b"x"}, 0, r"no \.dist-info"),
        ({"bomb/a": b"x"}, 40, "broken archive"),
    ],
    ids=["bomb", "path", "no wheel", "cut off"],
)
def test_a_hostile_package_is_refused_and_nothing_of_it_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: dict[str, bytes], spoil: int, says: str
) -> None:
    def download(_requirement: str, folder: Path) -> Path:
        made = wheel(folder, entries)
        content = made.read_bytes()
        made.write_bytes(content[: len(content) - spoil])
        return made

    monkeypatch.setattr(package, "_download", download)
    with pytest.raises(InvalidRequest, match=says), locate_package("no-such-bomb==1", Fetching(tmp_path, print)):
        pass


def test_a_torch_file_that_unpacks_to_far_more_is_refused_before_torch_reads_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    wheel(tmp_path, BOMB).rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InvalidRequest, match=r"pytorch_model\.bin has .* and unpacks to"):
        check_weights(tmp_path)


@pytest.mark.parametrize("content", [b"[" * 200_000, b" " * (65 << 20)], ids=["deep", "large"])
def test_a_hostile_index_of_shards_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(InvalidRequest, match="no index of shards") as caught:
        check_weights(tmp_path)
    assert len(caught.value.message) < MOST_CHARACTERS
