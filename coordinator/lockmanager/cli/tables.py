"""Tables for people; names and labels in them cannot steer the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from .messages import printable

_WIDE = 1000


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; a column whose heading begins with `#` is aligned to the right."""
    # Only now: commands that show no table start sooner without it.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    # Nothing is cut off where no terminal sets a width.
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(table)
