"""Sizes and durations as people write them."""

from __future__ import annotations

import tomllib

import pytest

from quickthaw.types import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (4_000_000_000, 4 * 10**9),
        (4e9, 4 * 10**9),  # a number that TOML and JSON read as a fraction
        ("4e9", 4 * 10**9),
        ("4_000_000_000", 4 * 10**9),
        ("512MiB", 512 << 20),
        ("512mib", 512 << 20),
        ("512Mi", 512 << 20),  # Kubernetes
        ("4G", 4 * 10**9),
        ("2 GB", 2 * 10**9),
        ("1.5TB", 15 * 10**11),
        ("2TiB", 2 << 40),
        ("9007199254740993", 9007199254740993),  # no fraction has it
        ("7B", 7),
        ("0", 0),
    ],
)
def test_sizes_are_read(written: object, size: int) -> None:
    assert parse_bytes(written) == size


def test_a_size_in_toml_may_have_an_exponent() -> None:
    assert parse_bytes(tomllib.loads("memory = 4e9")["memory"]) == 4 * 10**9


@pytest.mark.parametrize("written", [1.5, float("inf"), float("nan"), True, "512m", "4g", "-1", "1,000", "much", ""])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(written)


def test_less_than_a_byte_is_no_size() -> None:
    with pytest.raises(ValueError, match="less than a byte"):
        parse_bytes("0.5")


@pytest.mark.parametrize(("written", "seconds"), [("1e3", 1000.0), ("1_000", 1000.0), ("1.5h", 5400.0), (2, 2.0)])
def test_durations_are_read(written: object, seconds: float) -> None:
    assert parse_seconds(written) == seconds


@pytest.mark.parametrize("written", ["1e99", "9" * 400, "9999999999PB"])
def test_a_size_beyond_all_memory_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_bytes(written)
