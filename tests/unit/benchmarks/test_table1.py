"""Table 1 from what the commands print, its place in the document, and a GGUF file in another type."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize

from benchmarks import table1
from benchmarks.table1 import (
    BEGIN,
    DOCUMENT,
    END,
    HEAD,
    QUICK,
    REQUANTISE,
    Commands,
    floors,
    measured,
    measurements,
    reported,
    table,
    written,
)

FIGURE = {"value": 2.04, "low": 1.0, "high": 3.0}
SCORES: dict[str, Any] = dict.fromkeys(("bleu", "rouge-1", "rouge-2", "rouge-l"), FIGURE)
QUALITY = {"figures": SCORES, "floors": {"copy": SCORES}}
FORM: dict[str, Any] = {
    "result": {
        "subject": {"checkpoint": "m", "engine": "llamacpp"}, "protocol": "hf", "window": 1024, "stride": 512,
        "limit": 4, "perplexity": {"value": 20.5, "interval": {"low": 20.0, "high": 21.0}}, "tokens_per_second": 1234.5,
    },
    "checkpoint": {"quantization": "Q4_1", "dtype": None, "bytes": 2048},
    "losses": {name: {"value": 0.5} for name in ("ratio", "divergence", "agreement")},
}  # fmt: skip


def test_a_measured_row_names_protocol_part_and_intervals() -> None:
    row = measured(FORM, QUALITY)
    assert row["protocol"] == "hf, window 1024, stride 512, first 4 only"
    assert (row["perplexity"], row["BLEU"], row["size"]) == ("20.500 (20.00 to 21.00)", "2.0 (1.0 to 3.0)", "2.0 KiB")
    assert (row["× first"], row["top-1"], row["tokens/s"]) == ("0.5000", "0.5%", "1,234")
    assert measured(FORM | {"losses": None}, QUALITY)["KL ≥"] == ""


def test_published_rows_are_marked_with_their_source_and_have_no_figure_of_ours() -> None:
    rows = list(reported())
    assert all(row[""].startswith("*reported*: [") for row in rows)
    assert not any("BLEU" in row or "tokens/s" in row for row in rows)


def test_every_row_has_every_column() -> None:
    rows = [measured(FORM, QUALITY), *floors(QUALITY), *reported()]
    assert all(set(row) <= set(HEAD) for row in rows)
    lines = table(rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert {line.count(" | ") for line in lines} == {len(HEAD) - 1}


def test_the_document_has_a_place_for_the_table_and_keeps_all_else() -> None:
    document = DOCUMENT.read_text()
    once = written(document, "| new |")
    assert f"{BEGIN}\n\n| new |\n\n{END}" in once
    assert written(once, "| new |") == once
    assert once.partition(BEGIN)[0] == document.partition(BEGIN)[0]
    with pytest.raises(ValueError, match="no place for the table"):
        written("nothing", "| new |")


def test_a_gguf_file_is_written_in_another_type_with_all_that_it_says(tmp_path: Path) -> None:
    source, out = tmp_path / "source.gguf", tmp_path / "out.gguf"
    matrix = np.linspace(-1, 1, 128, dtype=np.float32).reshape(4, 32)
    writer = GGUFWriter(str(source), "llama")
    writer.add_string("general.name", "tiny")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_tensor("blk.0.attn_q.weight", matrix)
    writer.add_tensor("norm.weight", matrix[0])
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    subprocess.run([sys.executable, str(REQUANTISE), str(source), str(out), "Q8_0"], check=True)
    reader = GGUFReader(out)
    assert reader.fields["general.name"].contents() == "tiny"
    assert reader.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    by_name = {tensor.name: tensor for tensor in reader.tensors}
    assert by_name["norm.weight"].tensor_type.name == "F32"
    made = by_name["blk.0.attn_q.weight"]
    assert made.tensor_type.name == "Q8_0"
    assert np.abs(dequantize(made.data, made.tensor_type) - matrix).max() < 1 / 100


def test_every_step_is_said_before_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    class Recorded(Commands):
        def __init__(self) -> None:
            self.said: list[str] = []

        def compare(self, names: Sequence[str]) -> list[dict[str, Any]]:
            self.said.append(capsys.readouterr().err)
            return [FORM for _ in names]

        def quality(self, name: str) -> dict[str, Any]:
            self.said.append(capsys.readouterr().err)
            return QUALITY

    commands = Recorded()
    assert measurements(commands, ["a", "b"]) == ([FORM, FORM], [QUALITY, QUALITY])
    assert commands.said == [
        "1 of 3: perplexities of a, b\n", "2 of 3: continuations of a\n", "3 of 3: continuations of b\n",
    ]  # fmt: skip


def test_a_step_that_was_measured_is_not_measured_again_and_one_that_failed_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "quickthaw"
    program.write_text(
        '#!/bin/sh\necho "$*" >> "$QUICKTHAW_DATA_DIR/log"\ntest -e "$QUICKTHAW_DATA_DIR/works" && echo 5\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(table1, "program", lambda _name: str(program))
    commands = Commands(tmp_path, Path("text"), QUICK, "hf", tmp_path / "steps")
    with pytest.raises(subprocess.CalledProcessError):
        commands.quality("a")
    (tmp_path / "works").touch()
    found: list[Any] = [commands.quality(name) for name in ("a", "a", "b")]
    assert found == [5, 5, 5]
    asked = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert asked == ["a", "a", "b"]
    assert capsys.readouterr().err.count("measured by the run before") == 1
