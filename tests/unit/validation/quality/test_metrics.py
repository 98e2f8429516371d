"""BLEU, chrF, ROUGE and distinct-n: equal to what the libraries' own command lines print."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from quickthaw_platform.validation.quality.metrics import NAMES, Quality, distinct_ngrams, quality

WORDS = (
    "The",
    "cat",
    "cats",
    "sat",
    "sitting",
    "on",
    "a",
    "mat,",
    "mats",
    "ran",
    "(running)",
    "it's",
    "3.5",
    "—",
    "ünï",
)
LENGTH = 12


def texts(seed: int, count: int = 20) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=LENGTH)) for _ in range(count)]


REFERENCES = texts(1)
CONTINUATIONS = [
    " ".join([*reference.split()[: number % LENGTH], *other.split()[number % LENGTH :]])
    for number, (reference, other) in enumerate(zip(REFERENCES, texts(2), strict=True))
]


@pytest.fixture(scope="module")
def found() -> Quality:
    return quality(CONTINUATIONS, REFERENCES)


def written(folder: Path, name: str, lines: Sequence[str]) -> str:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def test_bleu_and_chrf_are_those_of_sacrebleus_command_line(found: Quality, tmp_path: Path) -> None:
    files = written(tmp_path, "references", REFERENCES), "-i", written(tmp_path, "continuations", CONTINUATIONS)
    command = [sys.executable, "-m", "sacrebleu", *files, "-m", "bleu", "chrf", "-w", "8", "--format", "json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [row["score"] for row in rows] == [
        pytest.approx(found.figures["bleu"].value, abs=1e-8),
        pytest.approx(found.figures["chrf"].value, abs=1e-8),
    ]
    assert [row["signature"] for row in rows] == list(found.signatures.values())
    assert 5 < rows[0]["score"] < 95


def test_rouge_is_that_of_rouge_scores_command_line(found: Quality, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    options = {
        "target_filepattern": written(tmp_path, "references", REFERENCES),
        "prediction_filepattern": written(tmp_path, "continuations", CONTINUATIONS),
        "output_filename": str(out), "use_stemmer": "true", "aggregate": "false",
        "rouge_types": "rouge1,rouge2,rougeL",
    }  # fmt: skip
    flags = [f"--{name}={value}" for name, value in options.items()]
    subprocess.run([sys.executable, "-m", "rouge_score.rouge", *flags], check=True, capture_output=True)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == len(REFERENCES)
    for ours, theirs in (("rouge-1", "rouge1-F"), ("rouge-2", "rouge2-F"), ("rouge-l", "rougeL-F")):
        mean = sum(float(row[theirs]) for row in rows) / len(rows)
        assert found.figures[ours].value == pytest.approx(100 * mean, abs=1e-4)


def test_every_figure_is_between_0_and_100_and_inside_its_interval(found: Quality) -> None:
    assert tuple(found.figures) == NAMES
    for name, figure in found.figures.items():
        assert 0 <= figure.value <= 100
        assert (figure.low is None) == name.startswith("distinct")


def test_equal_texts_score_100_and_texts_without_a_word_in_common_score_nothing() -> None:
    same = quality(REFERENCES, REFERENCES).figures
    assert [same[name].value for name in NAMES[:5]] == pytest.approx([100] * 5)
    other = quality(["zzz qqq"] * 20, ["The cat sat"] * 20).figures
    assert [other[name].value for name in ("rouge-1", "rouge-2", "rouge-l", "bleu")] == [0, 0, 0, 0]


def test_empty_continuations_count_as_what_they_are() -> None:
    some = quality([*CONTINUATIONS[:10], *[""] * 10], REFERENCES).figures
    half = quality(CONTINUATIONS[:10], REFERENCES[:10]).figures
    assert some["rouge-1"].value == pytest.approx(half["rouge-1"].value / 2)
    none = quality([""] * 20, REFERENCES).figures
    assert all(figure.value == 0 for figure in none.values())


def test_few_passages_have_figures_without_intervals() -> None:
    assert all(figure.low is None for figure in quality(CONTINUATIONS[:2], REFERENCES[:2]).figures.values())


@pytest.mark.parametrize(("ours", "theirs"), [([], []), (["a"], []), (["a"], ["a", "b"])], ids=["none", "no", "fewer"])
def test_as_many_continuations_as_references_are_needed(ours: list[str], theirs: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        quality(ours, theirs)


def test_distinct_counts_different_n_grams_of_all_texts_together() -> None:
    assert distinct_ngrams(["a b a", "a b"], 1) == pytest.approx(2 / 5)
    assert distinct_ngrams(["a b a", "a b"], 2) == pytest.approx(2 / 3)
    assert distinct_ngrams(["a", ""], 2) == 0
