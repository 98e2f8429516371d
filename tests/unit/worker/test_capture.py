"""Prints: cut into lines, kept apart by invocation, bounded."""

from __future__ import annotations

import io

import click

from quickthaw_platform.worker.capture import MAX_LINE_CHARACTERS, Capture, LineBudget, LineCutter, current_invocation


def test_lines_are_cut_at_their_ends_wherever_the_text_is() -> None:
    cutter = LineCutter()
    assert list(cutter.feed("a\n\nb")) == ["a", ""]
    assert list(cutter.feed("c\nd")) == ["bc"]
    assert list(cutter.flush()) == ["d"]
    assert list(cutter.flush()) == []


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    cutter = LineCutter()
    pieces = list(cutter.feed("x" * (2 * MAX_LINE_CHARACTERS + 1)))
    assert [len(piece) for piece in pieces] == [MAX_LINE_CHARACTERS] * 2
    assert list(cutter.feed("y\n")) == ["xy"]


def test_lines_past_the_budget_are_counted_and_reported_once() -> None:
    budget = LineBudget(per_second=2)
    kept = [line for number in range(5) for line in budget.admit(f"l{number}", 10.1)]
    assert kept == ["l0", "l1"]
    assert list(budget.admit("next", 11.0)) == ["suppressed 3 lines (more than 2 in a second)", "next"]
    assert list(budget.report()) == []


def test_each_invocations_lines_stay_whole() -> None:
    emitted: list[tuple[str | None, str, str]] = []
    capture = Capture("stdout", lambda *line: emitted.append(line), LineBudget())
    for text in ("hello ", "world\n"):
        for name in ("a", "b"):
            token = current_invocation.set(name)
            print(text, end="", file=capture)
            current_invocation.reset(token)
    assert emitted == [("a", "stdout", "hello world"), ("b", "stdout", "hello world")]


def test_an_unfinished_line_leaves_with_its_invocation() -> None:
    emitted: list[tuple[str | None, str, str]] = []
    capture = Capture("stderr", lambda *line: emitted.append(line), LineBudget())
    token = current_invocation.set("a")
    capture.write("half \ud800")
    current_invocation.reset(token)
    capture.end("a")
    capture.end("a")
    assert emitted == [("a", "stderr", "half ?")]


def test_it_is_a_text_file_with_a_binary_one_below() -> None:
    emitted: list[tuple[str | None, str, str]] = []
    capture = Capture("stdout", lambda *line: emitted.append(line), LineBudget())
    assert isinstance(capture, io.TextIOWrapper)
    assert (capture.fileno(), capture.name, capture.encoding, capture.isatty()) == (1, "<stdout>", "utf-8", False)
    assert Capture("stderr", lambda *_line: None, LineBudget()).fileno() == 2
    capture.reconfigure(line_buffering=True, errors="backslashreplace")
    data = "größe\n".encode()
    assert capture.buffer.write(data[:3]) == 3  # in the middle of a character
    capture.buffer.write(data[3:])
    click.echo(b"bytes", file=capture)
    capture.writelines(["a\n", "b\n"])
    assert [line for _invocation, _stream, line in emitted] == ["größe", "bytes", "a", "b"]
