from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.prompts import Calibration, Prompts, read_corpus

COUNTED = Calibration(overhead=10.0, characters_per_token=4.0, measured=True)
PROMPTS = Prompts(calibration=COUNTED)


@pytest.mark.parametrize("tokens", [20, 100, 1000, 7437, 100_000])
def test_a_prompt_is_as_long_as_its_tokens(tokens: int) -> None:
    assert len(PROMPTS.text(3, tokens)) == pytest.approx((tokens - 10) * 4, abs=1)


@pytest.mark.parametrize("tokens", [0, 1, 5, 10])
def test_a_prompt_shorter_than_its_head_is_its_head(tokens: int) -> None:
    assert len(PROMPTS.text(3, tokens)) == 8


def test_no_two_prompts_begin_alike() -> None:
    assert len({PROMPTS.text(number, 50)[:8] for number in range(10_000)}) == 10_000
    assert len({PROMPTS.text(number, 50)[9:40] for number in range(100)}) > 90


def test_a_prompt_is_the_same_each_time_and_another_with_another_seed_or_salt() -> None:
    text = PROMPTS.text(7, 200)
    assert Prompts(calibration=COUNTED).text(7, 200) == text
    assert replace(PROMPTS, seed=1).text(7, 200)[:8] != text[:8]
    assert replace(PROMPTS, salt="again").text(7, 200)[:8] != text[:8]


def test_a_shared_prefix_is_shared_and_what_follows_is_not() -> None:
    prompts = replace(PROMPTS, shared_prefix=50)
    one, other = prompts.text(1, 200), prompts.text(2, 200)
    assert one[:200] == other[:200]
    assert one[:220] != other[:220]
    assert len(one) == pytest.approx(190 * 4, abs=1)
    short = prompts.text(1, 20)
    assert short[:40] == one[:40]  # no longer than the prompt itself, but for the digits that tell them apart
    assert short != prompts.text(2, 20)


def test_a_short_corpus_is_gone_through_again(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text("one two\n\n  three four\tfive ")
    corpus = read_corpus(file)
    assert corpus == "one two three four five"
    text = replace(PROMPTS, corpus=corpus).text(1, 60)
    assert len(text) == pytest.approx(200, abs=1)
    assert set(text.split()[2:-1]) <= set(corpus.split())


@pytest.mark.parametrize("content", [b"", b" \n\t "])
def test_a_corpus_without_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "corpus.txt"
    file.write_bytes(content)
    with pytest.raises(SettingsInvalid, match="holds no text"):
        read_corpus(file)


def test_a_corpus_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsInvalid, match="no-such-file"):
        read_corpus(Path("/no-such-file"))


def test_two_probes_make_a_line() -> None:
    found = Calibration.of([(400, 131), (4000, 1031)])
    assert found.characters_per_token == pytest.approx(4.0)
    assert found.overhead == pytest.approx(31.0)
    assert found.measured


def test_probes_that_count_nothing_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match="--no-probe"):
        Calibration.of([(400, 5), (4000, 5)])


def test_a_probe_is_exactly_as_long_as_asked() -> None:
    assert [len(PROMPTS.probe(length)) for length in (1, 400, 4000)] == [1, 400, 4000]
