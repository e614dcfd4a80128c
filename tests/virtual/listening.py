"""Hears what a run says that it should not: errors in any log, those nobody handled, warnings of what was left open.

What is dropped without being closed complains when it is collected, so the garbage of a run is collected before the
listening ends.
"""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Ear(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._heard.append(f"{record.name}: {record.getMessage()}" + (f" ({error!r})" if error else ""))


@contextmanager
def listening() -> Iterator[list[str]]:
    """Give a list that holds, after the block, everything that was said in it."""
    heard: list[str] = []
    ear, root = _Ear(heard), logging.getLogger()
    gc.freeze()  # what was there before is no garbage of this run, and need not be looked at
    root.addHandler(ear)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield heard
            gc.collect()
    finally:
        root.removeHandler(ear)
        gc.unfreeze()
        heard += (str(warning.message) for warning in warned)
