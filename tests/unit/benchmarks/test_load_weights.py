"""The pure parts of bench-load: shapes, what a child tells, rows and goals."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from transformers import LlamaConfig

from benchmarks.load_weights.__main__ import some_of
from benchmarks.load_weights.cases import INTO_MEMORY, MAPPED, PLAIN_MAP, RANGED_GETS, STATES, cases
from benchmarks.load_weights.measure import Measurement, make_cold, make_warm, resident_share
from benchmarks.load_weights.picture import draw
from benchmarks.load_weights.results import Result, goals, rows
from benchmarks.load_weights.shapes import SHAPES, TINY, Shape
from benchmarks.load_weights.usage import Peak, field_bytes
from benchmarks.load_weights.ways import touch
from benchmarks.report import Goal


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("135m", 134_515_008),  # as the published models say, tied weights once
        ("1b", 1_235_814_400),
        ("3b", 3_212_749_824),
    ],
)
def test_the_shapes_are_those_of_the_published_models(name: str, parameters: int) -> None:
    assert SHAPES[name].bytes == 2 * parameters


def test_transformers_wants_exactly_the_tensors_of_a_shape() -> None:
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**TINY.config()))
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert TINY.tensors() == wanted


def test_a_childs_answer_is_a_measurement() -> None:
    assert Measurement.of(json.loads('{"seconds": 0.5, "peak_bytes": 10}')) == Measurement(0.5, 10)


@pytest.mark.parametrize(
    "answer",
    [
        {"ready": True},  # the first answer for the second
        {"seconds": None, "peak_bytes": 1},
        {"seconds": 0.0, "peak_bytes": 1},  # nothing was loaded
    ],
)
def test_anything_else_is_refused(answer: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not a measurement|no time"):
        Measurement.of(answer)


def test_every_case_has_its_own_row_and_names_a_way_that_exists() -> None:
    everything = cases()
    assert len({(case.name, case.state) for case in everything}) == len(everything)
    for case in everything:
        module, _, function = case.way.partition(".")
        source = Path("benchmarks/load_weights/ways", f"{module}.py").read_text()
        assert f"\ndef {function}(" in source, case.way


def test_states_can_be_left_out() -> None:
    assert {case.state for case in cases(["warm", "s3"])} == {"warm", "s3"}


def results(seconds: dict[tuple[str, str], float], peak_bytes: float = 100.0) -> list[Result]:
    """Results of all cases with a shape of 100 bytes; those without a given time take ten seconds."""
    return [
        Result("1b", 100, case, [Measurement(seconds.get((case.state, case.name), 10.0), peak_bytes)])
        for case in cases()
    ]


def by_name(found: Sequence[Goal]) -> dict[str, Goal]:
    return {goal.name: goal for goal in found}


def test_a_cold_start_is_compared_with_the_faster_direct_read_and_the_fastest_peer() -> None:
    found = by_name(
        goals(
            results(
                {
                    ("cold", INTO_MEMORY): 2.0,
                    ("cold", "limit: O_DIRECT read, 1 thread"): 1.9,
                    ("cold", "limit: O_DIRECT read, 2 threads"): 1.8,
                    ("cold", PLAIN_MAP): 1.0,  # no peer
                    ("cold", "torch.load(mmap)"): 2.9,
                }
            )
        )
    )
    assert found["1b cold: share of the disk's limit"] == Goal("1b cold: share of the disk's limit", 0.9, 0.9, ">=")
    faster = found["1b cold: times faster than the best peer (torch.load(mmap))"]
    assert faster.value == pytest.approx(1.45)
    assert not faster.held


def test_a_warm_start_is_compared_with_the_best_mmap() -> None:
    found = by_name(goals(results({("warm", MAPPED): 1.0, ("warm", PLAIN_MAP): 0.8, ("warm", "tensorizer"): 0.1})))
    assert found["1b warm: over the best mmap (plain mmap)"].value == pytest.approx(1.25)


def test_a_second_instance_has_goals_of_time_and_memory() -> None:
    found = by_name(goals(results({("second", "quickthaw, from the page cache"): 0.029}, peak_bytes=4.0)))
    assert found["1b second instance from the page cache: ms"].value == pytest.approx(29)
    assert found["1b second instance from the page cache: ms"].held
    assert found["1b second instance from the page cache: more memory × checkpoint"].held
    assert not found["1b second instance from the node's memory: ms"].held


def test_s3_is_compared_with_the_faster_bare_gets_and_the_fastest_peer() -> None:
    times = {("s3", INTO_MEMORY): 2.0, ("s3", RANGED_GETS[0]): 1.9, ("s3", "runai-model-streamer"): 4.0}
    found = by_name(goals(results(times, peak_bytes=106.0)))
    assert found["1b s3: share of bare ranged GETs"].value == pytest.approx(0.95)
    assert found["1b s3: times faster than the best peer (runai-model-streamer)"].value == pytest.approx(2)
    assert not found["1b s3: peak memory × checkpoint"].held


def test_what_was_not_measured_has_no_goal() -> None:
    warm = [result for result in results({}) if result.case.state == "warm"]
    assert [goal.name for goal in goals(warm)] == ["1b warm: over the best mmap (plain mmap)"]


def test_rows_show_medians_speed_and_memory() -> None:
    case = cases(["warm"])[0]
    rounds = [Measurement(seconds, 50.0) for seconds in (1.0, 4.0, 2.0)]
    (row,) = rows([Result("1b", 4_000_000_000, case, rounds)])
    assert row["s (median)"] == pytest.approx(2)
    assert row["GB/s"] == pytest.approx(2)
    assert (row["least"], row["most"], row["runs"]) == (1.0, 4.0, 3)


def test_the_picture_has_a_panel_for_each_shape_and_state(tmp_path: Path) -> None:
    twice = [*results({}), *(replace(result, shape="3b") for result in results({}))]
    drawn = draw(twice, tmp_path / "bench-load.png").read_bytes()
    wide, high = (int.from_bytes(drawn[at : at + 4], "big") for at in (16, 20))  # of a PNG's first chunk
    assert wide / high == pytest.approx(3 * 6.5 / (2 * 3.6), rel=0.01)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n", 2 << 20),
        ("VmRSS:\t 1024 kB\nVmHWM:\t       0 kB\n", 0),
    ],
)
def test_fields_of_the_kernel_are_in_kilobytes(text: str, expected: int) -> None:
    assert field_bytes(text, "VmHWM") == expected
    with pytest.raises(ValueError, match="VmSwap"):
        field_bytes(text, "VmSwap")


SIZE = 64 << 20


def near(size: int) -> object:
    """The kernel counts in batches for each thread, and the interpreter takes some memory too."""
    return pytest.approx(size, rel=0.1)


def test_what_is_mapped_twice_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * SIZE)
    peak = Peak()
    with file.open("rb") as opened:
        first, second = (mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) for _ in range(2))
    touch([np.frombuffer(first, dtype=np.uint8)])
    peak.loaded()
    touch([np.frombuffer(second, dtype=np.uint8)])
    assert peak.bytes() == near(SIZE)


def test_what_was_let_go_while_loading_counts_too() -> None:
    peak = Peak()
    mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE).close()
    peak.loaded()
    assert peak.bytes() == near(SIZE)


def test_a_file_is_made_cold_and_warm(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (4 << 20))
    make_cold(file)
    assert resident_share(file) == 0
    make_warm(file)
    assert resident_share(file) == 1


def test_a_file_that_a_process_maps_cannot_be_made_cold(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (1 << 20))
    with file.open("rb") as opened:
        mapping = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
    touch([np.frombuffer(mapping, dtype=np.uint8)])
    with pytest.raises(RuntimeError, match="stays in the page cache"):
        make_cold(file)


def test_touching_reads_a_byte_of_every_page_and_the_last() -> None:
    array = np.zeros(2 * 4096 + 1, dtype=np.uint8)
    array[[0, 4096, 8192]] = 1
    assert touch([array, np.ones(1, dtype=np.uint8)]) == 3 + 1 + 2


def test_an_option_of_names_knows_them() -> None:
    parse = some_of(STATES)
    context = click.Context(click.Command("bench"))
    option = click.Option(["--states"])
    assert parse(context, option, "cold,s3") == ("cold", "s3")
    with pytest.raises(click.BadParameter, match="hot"):
        parse(context, option, "cold,hot")


def test_every_shape_has_a_config_that_says_its_sizes() -> None:
    shape: Shape = SHAPES["1b"]
    assert shape.config()["hidden_size"] == 2048
    assert "name" not in shape.config()
