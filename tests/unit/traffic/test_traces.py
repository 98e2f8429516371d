from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.statistics import cv_of_gaps
from quickthaw_platform.traffic.traces.reading import read
from quickthaw_platform.traffic.traces.servegen import read_windows
from quickthaw_platform.traffic.traces.timestamps import timestamp
from tests.unit.traffic.trace_files import AZURE_2023, CODE, CONV, SERVEGEN, needs_public_traces, written

AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:00+00:00,7,3\n"
)
BURSTGPT = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,Conversation log\n"
)
MOONCAKE = (
    '{"timestamp": 500, "input_length": 7, "output_length": 3, "hash_ids": [1]}\n\n'
    '{"timestamp": 1500, "input_length": 9, "output_length": 2}\n'
)
PLAIN = "tokens_out,time,tokens_in\n3,10,7\n2,11.5,9\n"
ISO = "time,tokens_in,tokens_out\n2024-01-01T00:00:01Z,1,2\n2024-01-01T00:00:03.5Z,3,4\n"
WINDOWS = (
    "client,window_start_s,rate_rps,cv,family,shape,scale\n0,0,1.0,1.1,Gamma,0.8,0.04\n7,600,0.5,2,Weibull,0.6,1\n"
)


@pytest.mark.parametrize(
    ("kind", "text", "times", "tokens_in", "tokens_out"),
    [
        ("azure", AZURE_2023, [0, 2], [4808, 31], [10, 8]),
        ("azure", AZURE_2024, [0, 0.00993], [7, 2162], [3, 5]),  # with a zone, and one without a part of a second
        ("burstgpt", BURSTGPT, [0, 40], [472, 1087], [18, 0]),
        ("mooncake", MOONCAKE, [0, 1], [7, 9], [3, 2]),  # milliseconds
        ("csv", PLAIN, [0, 1.5], [7, 9], [3, 2]),  # in any order of columns
        ("csv", ISO, [0, 2.5], [1, 3], [2, 4]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["trace", "trace.gz"])
def test_each_format_is_read(
    tmp_path: Path, name: str, kind: str, text: str, times: list[float], tokens_in: list[int], tokens_out: list[int]
) -> None:
    trace = read(kind, written(tmp_path / name, text))
    assert trace.times == pytest.approx(times, abs=1e-6)
    assert trace.tokens_in.tolist() == tokens_in
    assert trace.tokens_out.tolist() == tokens_out


@pytest.mark.parametrize(
    "zone",
    ["", "Z", "z", " Z", "+00:00", " +00:00", "+0000", "+00", " UTC", " utc", " GMT", " +0000 UTC", "+00:00Z"],
)
@pytest.mark.parametrize("part", ["", ".5", ".5000000", ".500000000"])
def test_utc_is_read_however_it_is_written(zone: str, part: str) -> None:
    for between in (" ", "T"):
        assert timestamp(f"2024-05-10{between}00:00:00{part}{zone}") == 1715299200 + (0.5 if part else 0)


def test_an_offset_counts() -> None:
    assert timestamp("2024-05-10 00:00:00.5 -07:00") == 1715299200.5 + 7 * 3600


@pytest.mark.parametrize("text", ["2024-05-10 00:00:00 PST", "soon", "", "UTC", "2024-05-10 25:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        timestamp(text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_byte_order_mark_is_heeded(tmp_path: Path, encoding: str, name: str) -> None:
    raw = AZURE_2023.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    assert read("azure", tmp_path / name).tokens_in.tolist() == [4808, 31]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + AZURE_2023,  # a byte order mark
        AZURE_2023.replace("\n", "\r\n"),
        AZURE_2023.replace("\n", "\r\n\r\n"),  # empty lines too
        AZURE_2023.rstrip("\n"),  # no end of the last line
        AZURE_2023.replace(",ContextTokens", ", ContextTokens"),
        AZURE_2023.replace("TIMESTAMP", "id,TIMESTAMP").replace("2023-", "x,2023-"),  # a column more
    ],
)
def test_harmless_oddities_change_nothing(tmp_path: Path, text: str) -> None:
    trace = read("azure", written(tmp_path / "t.csv", text))
    assert trace.times == pytest.approx([0, 2])
    assert trace.tokens_in.tolist() == [4808, 31]
    assert trace.notes == ()


@pytest.mark.parametrize(
    ("rows", "times", "tokens", "said"),
    [
        ("3.5,3,1\n1.25,1,1\n2,2,1\n", [0, 0.75, 2.25], [1, 2, 3], "1 of 3 rows of the trace were out of order"),
        ("1.5,1,1\n1.5,2,1\n2,3,1\n", [0, 0, 0.5], [1, 2, 3], "1 of 3 rows of the trace have the time of"),
        ("1,1,1\n2,2,1\n5,3,1\n", [0, 1, 4], [1, 2, 3], "whole seconds"),
        ("7.5,1,1\n", [0], [1], None),  # a single row
    ],
)  # fmt: skip
def test_what_is_odd_is_mended_and_said(
    tmp_path: Path, rows: str, times: list[float], tokens: list[int], said: str | None
) -> None:
    trace = read("csv", written(tmp_path / "t.csv", "time,tokens_in,tokens_out\n" + rows))
    assert trace.times.tolist() == times
    assert trace.tokens_in.tolist() == tokens
    assert [said] == [said for note in trace.notes if said and said in note] or (said is None and not trace.notes)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("csv", "time,tokens_in,tokens_out\n1,1,1\n-2,1,1\n", "line 3: the time -2.0 must be"),
        ("csv", "time,tokens_in,tokens_out\n1,1,1\n2,-1,1\n", "line 3: -1 tokens"),
        ("csv", "time,tokens_in,tokens_out\n,1,1\n", "line 2: '' is not a time"),
        ("csv", "time,tokens_in,tokens_out\n1,1,\n", "line 2: invalid literal"),
        ("csv", "time,tokens_in,tokens_out\nnan,1,1\n", "line 2: the time nan"),
        ("csv", "time,tokens_in,tokens_out\ninf,1,1\n", "line 2: the time inf"),
        ("csv", "time,tokens_in,tokens_out\n1,1,99999999999999999999\n", "line 2"),  # no 64-bit number
        ("csv", "time,tokens_in,tokens_out\n1,1\n", "line 2: it has 2 cells"),
        ("csv", "time,tokens_in,tokens_out\nsoon,1,1\n", "line 2: 'soon' is not a time"),
        ("csv", "time,tokens_in,tokens_out\n", "has no request in it"),
        ("csv", "", "is empty"),
        ("azure", AZURE_2023.replace("18:17:05.9799600", "25:17:05"), "line 3: '2023-11-16 25:17:05' is not a time"),
        ("azure", "a,b\n1,2\n", "Its columns are a, b; wanted are TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("azure", PLAIN, "it lacks TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("burstgpt", BURSTGPT.replace("45,", "x,"), "line 3: could not convert"),
        ("mooncake", "no json\n", "line 1: Expecting value"),
        ("mooncake", "[1]\n", "line 1: not a JSON object"),
        ("mooncake", MOONCAKE.replace("output", "out"), "line 1: it lacks output_length; its fields are timestamp"),
        ("mooncake", MOONCAKE.replace("1500", '"1500"'), "line 3: timestamp is '1500', not a number"),
        ("mooncake", MOONCAKE.replace("1500", "-1"), "line 3: the time -0.001 must be"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, kind: str, text: str, said: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read(kind, written(tmp_path / "bad.csv", text))
    assert "bad.csv" in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WINDOWS.replace("Gamma", "Pareto"), "line 2: the family is 'Pareto'"),
        (WINDOWS.replace("0.5,2", "-1,2"), "line 3: rate -1.0"),
        (WINDOWS.replace("7,600", "7,x"), "line 3: could not convert"),
        (WINDOWS.splitlines()[0], "no window"),
        (PLAIN, "lacks client"),
    ],
)
def test_what_is_wrong_with_servegen_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        read_windows(written(tmp_path / "bad.csv", text))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsInvalid, match="no-such-file"):
        read("azure", Path("/no-such-file.csv"))


def test_a_compressed_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    whole = written(tmp_path / "t.csv.gz", "time,tokens_in,tokens_out\n" + "1.5,2,3\n" * 5000).read_bytes()
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        read("csv", written(tmp_path / "cut", whole[:-20]))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        read("csv", written(tmp_path / "t.csv", b"time,tokens_in,tokens_out\n\xff\xfe,1,1\n"))


def test_the_digest_is_of_the_file(tmp_path: Path) -> None:
    one, other = (read("azure", written(tmp_path / name, AZURE_2023)) for name in ("a.csv", "a.csv.gz"))
    assert len(one.digest) == 64
    assert one.digest != other.digest


def test_a_large_file_is_read_row_by_row_in_little_memory(tmp_path: Path) -> None:
    count = 200_000
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("time,tokens_in,tokens_out\n")
        file.writelines(f"{number / 100},{number % 4000},{number % 500}\n" for number in range(count))
    tracemalloc.start()
    try:
        trace = read("csv", path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(trace) == count
    assert trace.times[-1] == pytest.approx((count - 1) / 100)
    assert peak < 96 * count  # a list of tuples of Python numbers would take 200 bytes a row and more


@needs_public_traces
@pytest.mark.parametrize(("file", "count", "rate", "cv"), [(CODE, 8819, 2.57, 13.15), (CONV, 19366, 5.53, 1.09)])
def test_the_azure_traces_are_as_published(file: Path, count: int, rate: float, cv: float) -> None:
    trace = read("azure", file)
    assert len(trace) == count
    assert trace.rate == pytest.approx(rate, abs=0.005)
    assert cv_of_gaps(trace.times) == pytest.approx(cv, abs=0.005)
    assert (np.diff(trace.times) >= 0).all()


@needs_public_traces
def test_the_servegen_trace_is_read() -> None:
    windows = read_windows(SERVEGEN)
    assert len(windows) > 100
