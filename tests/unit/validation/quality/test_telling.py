"""A result of continuation quality as people read it, and the call of what is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.quality import measuring
from quickthaw_platform.validation.quality.measuring import Wanted, compared, continued
from quickthaw_platform.validation.quality.passages import Passage, Split
from quickthaw_platform.validation.quality.result import QualityResult
from quickthaw_platform.validation.quality.telling import tell_quality, title
from quickthaw_platform.validation.quality.writer import PATH, Writer
from quickthaw_platform.validation.result import Subject
from quickthaw_platform.validation.running import Listening, Wish
from quickthaw_platform.validation.subjects import Served

SUBJECT = Subject(model="tiny")
CORPUS = Corpus("t.txt", "text", ("x",))
PASSAGES = [Passage(f"a{i} b{i}", f"c{i} d{i}") for i in range(3)]


@pytest.fixture(scope="module")
def result() -> QualityResult:
    wanted = Wanted(3, Split(2, 2), seed=4)
    return compared(PASSAGES, 9, ["c0 d0 and on", "c1", ""], SUBJECT, CORPUS, wanted, 1.5)


def test_figures_stand_beside_their_floors_with_what_must_be_quoted(
    result: QualityResult, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_quality(result)
    printed = capsys.readouterr().out
    for text in ("tiny", "copy", "random", "unigrams", "rouge-l", "tok:13a", "1 empty, 2 shorter", "seed 4"):
        assert text in printed


def test_the_title_says_how_much_of_the_text_was_used(result: QualityResult) -> None:
    assert title(result) == "continuations of 3 of 9 paragraphs of t.txt: 2 words shown, 2 compared, greedy"
    assert "of all paragraphs" in title(result.model_copy(update={"of_passages": 3}))


def test_what_is_served_is_continued_as_many_at_once_as_it_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Writer] = []

    def measure(writer: Writer, *_rest: object, resume: bool) -> str:
        made.append(writer)
        writer.progress(2)
        return f"resume {resume}"

    monkeypatch.setattr(measuring, "measure_quality", measure)
    served = Served(Target("http://g", "f", PATH), SUBJECT, None, 6)
    heard: list[tuple[int, int]] = []
    listening = Listening(progress=lambda done, tokens: heard.append((done, tokens)))
    found: object = continued(served, CORPUS, Wanted(seed=9), tmp_path, listening, Wish(resume=True))
    assert found == "resume True"
    assert (made[0].parallel, made[0].seed, heard) == (6, 9, [(2, 0)])
    continued(served, CORPUS, Wanted(), tmp_path, Listening(), Wish(parallel=2))
    assert made[1].parallel == 2
