"""Which kind of progress is shown where."""

from __future__ import annotations

import sys

import pytest
from rich.text import Text

from stagectl.view import progress_kind, show


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_gets_the_picture(terminal: None) -> None:
    assert progress_kind("auto") == "rich"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_or_cursor_gets_lines(
    terminal: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert progress_kind("auto") == "plain"


def test_a_pipe_gets_lines_even_where_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert progress_kind("auto") == "plain"


def test_what_was_chosen_wins() -> None:
    assert [progress_kind(kind) for kind in ("rich", "plain", "quiet")] == ["rich", "plain", "quiet"]


def test_a_pipe_gets_the_plain_text_whole(capsys: pytest.CaptureFixture[str]) -> None:
    line = "a [b]long[/b] line " * 40
    show(Text("picture"), line)
    assert capsys.readouterr().out == line + "\n"
