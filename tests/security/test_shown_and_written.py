"""What others chose is shown without steering the terminal; what the platform writes is for its own user only."""

from __future__ import annotations

import logging
import stat
import sys
from io import StringIO
from pathlib import Path

import pytest

from quickthaw.cli.outputs_text import OutputsText
from quickthaw.cli.visible import for_stream, visible
from quickthaw_platform.commands.supervisor import Supervisor
from quickthaw_platform.metering import logs

TITLE = "\x1b]0;owned\x07"
CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "text",
    [TITLE, CLIPBOARD, "safe\rrm -rf", "\x08\x08", "\x7f", "\x9b31m", "\x00", "\u202egnp.exe", "\u2066x", "\x1b[2J"],
    ids=["title", "clipboard", "return", "backspace", "delete", "C1", "null", "turned", "isolated", "cleared"],
)
def test_what_would_steer_a_terminal_is_shown(text: str) -> None:
    shown = visible(f"before {text} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert all(character.isprintable() for character in shown)


def test_lines_tabs_and_writing_of_all_languages_stay_as_they_are() -> None:
    text = "one\n\ttwo: héllo, שלום, مرحبا, 你好, 👩‍💻"
    assert visible(text) == text


def test_an_answer_is_shown_on_a_terminal_and_goes_into_a_file_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert for_stream(TITLE, StringIO()) == TITLE
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    OutputsText().show(f"hi{TITLE}")
    assert "\x1b" not in terminal.getvalue()
    assert "\\x1b]0;owned" in terminal.getvalue()


def test_processes_of_the_platform_write_for_their_own_user_only(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    written = tmp_path / "written"
    child = supervisor.start("writer", [sys.executable, "-c", f"open({str(written)!r}, 'w')"], {})
    assert child.popen is not None
    child.popen.wait(60)
    supervisor.kill()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "logs" / "writer.log").stat().st_mode) == 0o600


@pytest.mark.parametrize("level", ["debug", "info"])
def test_no_log_line_holds_the_url_of_a_request_that_was_sent(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    kept, before = root.handlers[:], root.level
    try:
        logs.configure(level, "test")
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
        assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)
    finally:
        root.handlers[:], root.level = kept, before
