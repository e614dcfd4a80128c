"""What the command line says on stderr, and how it shows texts that strangers chose."""

from __future__ import annotations

import contextlib
import logging
import sys


def say(text: str) -> None:
    """Write a message of our own to stderr, each line behind `lockmanager:`; a closed stderr stops nothing."""
    lines = "".join(f"lockmanager: {printable(line)}\n" for line in text.splitlines())
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(lines)
        sys.stderr.flush()


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: names and labels are chosen by anybody who may lock."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def log_errors_only() -> None:
    """Let log records below an error go: the command says itself, in its own words, what its user has to know."""
    logging.basicConfig(format="lockmanager: %(levelname)s %(message)s", level=logging.ERROR, stream=sys.stderr)
