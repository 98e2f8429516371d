"""What was run, and block by block how it went."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from quickthaw_platform.comparison.numbers import NONE, duration, plain, size
from quickthaw_platform.comparison.recording import Arrivals, Block
from quickthaw_platform.comparison.report import Header, Report
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table


def facts(header: Header) -> list[tuple[str, str]]:
    """Return what was run, as names and values."""
    return [(name, value) for name, value in _facts(header) if value]


def when(header: Header) -> str:
    """Return the day and minute of the run, in UTC."""
    return f"{datetime.fromtimestamp(header.created_at, UTC):%Y-%m-%d %H:%M} UTC"


def _facts(header: Header) -> Iterator[tuple[str, str]]:
    yield "Run at", when(header) + (", interrupted" if header.interrupted else "")
    yield "Program", header.commit
    yield "Machine", ", ".join(f"{name} {value}" for name, value in header.machine.items() if value is not None)
    yield "Function", header.function
    yield "Model", ", ".join(part for part in (header.model, header.dtype, f"engine {header.engine}") if part)
    yield "Checkpoint", header.checkpoint
    yield from _arrivals(header.arrivals)
    yield "Objective", f"first token within {duration(header.slo.ttft)}, {duration(header.slo.tpot)} a token"
    yield "Instance", _instance(header)
    yield "Order", f"{header.order}, {header.repeats_done} of {header.repeats} repeats whole"
    yield "Dispatch lag", f"p99 {NONE if header.dispatch_lag_p99 is None else duration(header.dispatch_lag_p99)}"
    yield "Intervals", f"{plain(header.confidence * 100)} %, {header.resamples:,} resamples, seed {header.seed}"
    yield "Counts", "yes" if header.valid else f"no: {'; '.join(header.invalid)}"


def _arrivals(arrivals: Arrivals) -> Iterator[tuple[str, str]]:
    origin = "synthetic" if arrivals.synthetic else "from a trace"
    seed = "" if arrivals.seed is None else f", seed {arrivals.seed}"
    kind = "" if arrivals.kind == arrivals.label else f"{arrivals.kind}, "
    yield "Arrivals", f"{arrivals.label} ({kind}{origin}{seed}), {arrivals.count:,} in {duration(arrivals.seconds)}"
    yield (
        "Burstiness",
        f"CV {_or_dash(arrivals.cv)}, Fano factor {_or_dash(arrivals.fano)}, {plain(arrivals.rate)} requests/s",
    )
    if arrivals.tokens_in is not None and arrivals.tokens_out is not None:
        yield "Tokens", f"{plain(arrivals.tokens_in)} in and {plain(arrivals.tokens_out)} out, on average"
    yield "Notes on the arrivals", "; ".join(arrivals.notes)
    yield "Digest of the arrivals", arrivals.digest


def _or_dash(value: float | None) -> str:
    return NONE if value is None else plain(value)


def _instance(header: Header) -> str:
    shape = header.instance
    gpu = f", {shape.gpus} × {shape.gpu}" if shape.gpu else ""
    return (
        f"{plain(shape.vcpus)} vCPU, {plain(shape.memory_gib)} GiB{gpu}, {shape.concurrency} requests at a time,"
        f" kept {duration(shape.keep_alive)} when idle"
    )


def blocks(report: Report) -> Table:
    """Return the table of blocks."""
    order = [backend.name for backend in report.header.backends]
    return Table(
        name="blocks",
        caption="Every block that was run.",
        corner="Repeat",
        columns=(Column("Seconds"), Column("Requests sent"), Column("Dispatch lag p99"), Column("Counts", text=True)),
        groups=tuple(Group(tuple(_blocks(report.header, name)), name) for name in order),
    )


def _blocks(header: Header, name: str) -> Iterator[Line]:
    for block in sorted((b for b in header.blocks if b.backend == name), key=lambda b: b.repeat):
        lag = NONE if block.dispatch_lag_p99 is None else duration(block.dispatch_lag_p99)
        yield Line(
            str(block.repeat + 1),
            (Cell(plain(block.seconds, 4)), Cell(f"{block.sent:,}"), Cell(lag), Cell(_fate(block), _started(block))),
        )


def _fate(block: Block) -> str:
    return block.invalid or block.error or ("interrupted" if block.interrupted else "yes")


def _started(block: Block) -> str:
    parts = [f"started in {duration(block.cold_start_seconds)}"] if block.cold_start_seconds is not None else []
    if block.resident_bytes is not None:
        parts.append(f"{size(block.resident_bytes)} resident")
    return ", ".join(parts)
