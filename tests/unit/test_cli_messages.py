"""What strangers chose does not steer the terminal, and a closed stderr stops nobody."""

from __future__ import annotations

import io
import sys

import pytest

from lockmanager.cli.messages import printable, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [("orders/42 äß 锁", "orders/42 äß 锁"), ("\x1b[2J", "\\x1b[2J"), ("a\nb\r", "a\\nb\\r"), ("\ud800", "\\ud800")],
)
def test_only_printable_characters_are_shown_as_they_are(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_line_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\ntwo")
    assert capsys.readouterr().err == "lockmanager: one\nlockmanager: two\n"


def test_a_closed_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    say("nobody hears it")
