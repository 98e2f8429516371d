"""`python -m benchmarks.cuda_load`: weights in a node's memory until they lie in a GPU's, by the engine and by others.

The memory is mapped anew for each measurement, as each new instance maps it; safetensors, which takes files only, reads
the page cache. The CUDA context is there already.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks import random_llama
from benchmarks.load_weights.shapes import SHAPES, TINY
from benchmarks.report import Cell, Report, console, publish
from benchmarks.rounds import interleave
from benchmarks.stats import median
from quickthaw_backends.engines.transformers_engine.cuda_weights import CudaLane, SentWeights, StagedLane
from quickthaw_backends.engines.transformers_engine.mapping import map_weights
from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.manifest import Manifest, WeightsFile, weights_paths
from quickthaw_platform.checkpoints.reading.disk import DiskSource
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.reading.memory import MemoryPool

DEVICE = torch.device("cuda:0")
OURS = "quickthaw"
Tensors = Sequence[torch.Tensor]


def sent(path: Path, size: int, *, staged: bool = False) -> Tensors:
    """Send as the engine does; `staged`: as it does where memory cannot be registered."""
    mapped = list(map_weights([path], [size]).values())
    model = nn.ParameterList(nn.Parameter(found.tensor, requires_grad=False) for found in mapped)
    weights = SentWeights(model, mapped, None, DEVICE)
    weights.begin(StagedLane(DEVICE) if staged else CudaLane(DEVICE, [path]))
    weights.wait_for_all()
    return [*model.parameters()]


def moved(path: Path, size: int) -> Tensors:
    """Move each mapped tensor by itself."""
    return [found.tensor.to(DEVICE) for found in map_weights([path], [size]).values()]


def read_by_safetensors(path: Path) -> Tensors:
    """Read the file with safetensors' own function, for the device."""
    return [*load_file(path, device=str(DEVICE)).values()]


def copied(pinned: Tensors) -> Tensors:
    """Copy what is in pinned memory already: the limit of the bus."""
    return [tensor.to(DEVICE, non_blocking=True) for tensor in pinned]


def timed(way: Callable[[], Tensors]) -> float:
    """Return how many seconds pass until all is on the device."""
    torch.cuda.synchronize(DEVICE)
    began = time.perf_counter()
    tensors = way()
    torch.cuda.synchronize(DEVICE)
    seconds = time.perf_counter() - began
    del tensors
    gc.collect()
    return seconds


def report(seconds: Mapping[str, Sequence[float]], size: int, settings: Mapping[str, object]) -> Report:
    """Evaluate what was measured, by the name of each way."""
    rows: list[dict[str, Cell]] = [
        {"way": name, "s": median(runs), "GB/s": size / median(runs) / 1e9, "best s": min(runs), "runs": len(runs)}
        for name, runs in seconds.items()
    ]
    return Report("cuda-load", tuple(rows), (), settings)


def _measure(
    path: Path, stored: Path, file: WeightsFile, threads: Sequence[int], rounds: int
) -> dict[str, list[float]]:
    pinned = [found.tensor.pin_memory() for found in map_weights([path], [file.bytes]).values()]
    ways: dict[str, Callable[[], Tensors]] = {"limit: from pinned memory": partial(copied, pinned)}
    for count in threads:
        ways |= {
            f"{name}, {count} threads": partial(_with_threads, count, way)
            for name, way in (
                (OURS, partial(sent, path, file.bytes)),
                (f"{OURS}, staged", partial(sent, path, file.bytes, staged=True)),
                ("tensor.to", partial(moved, path, file.bytes)),
                ("safetensors", partial(read_by_safetensors, stored)),
            )
        }
    cases = {name: partial(timed, way) for name, way in ways.items()}
    for case in cases.values():
        case()  # the first one pays for what a process does once
    return interleave(cases, rounds, console(), 0.0)


def _with_threads(count: int, way: Callable[[], Tensors]) -> Tensors:
    torch.set_num_threads(count)
    return way()


@click.command()
@click.option("--shape", default="1b", show_default=True, type=click.Choice([*SHAPES, TINY.name]), help="What to load.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--threads", default=(1, 8), show_default=True, multiple=True, help="Compute threads; repeatable.")
def main(shape: str, rounds: int, threads: tuple[int, ...]) -> None:
    """Measure the way from a node's memory to a GPU; print a table, write benchmarks/results/bench-cuda-load.json."""
    pool = MemoryPool()
    with tempfile.TemporaryDirectory(prefix="quickthaw-bench-") as folder:
        checkpoint = random_llama.make({**SHAPES, TINY.name: TINY}[shape], Path(folder), str(DEVICE))
        (file,) = Manifest.of(checkpoint).weights
        block = pool.take(file.bytes)
        Load([file], DiskSource(weights_paths(checkpoint)), [block.view], ArrivalWriter()).run()
        (stored,) = weights_paths(checkpoint)
        seconds = _measure(Path(f"/proc/self/fd/{block.fd}"), stored, file, threads, rounds)
    gpu = torch.cuda.get_device_name(DEVICE)
    publish(report(seconds, file.bytes, {"gpu": gpu, "shape": shape, "memory": pool.kind}), console())


if __name__ == "__main__":
    main()
