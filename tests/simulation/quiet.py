"""Keeps the outside away from a run: no logging but errors, which are findings, and no collection of garbage.

When garbage is collected depends on the runs before, and what is collected may still say something.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.simulation.clockwork import Process
from tests.simulation.findings import Findings

Processes = Callable[[], list[Process]]


@contextmanager
def quiet(processes: Processes, findings: Findings) -> Iterator[None]:
    """Run the block so; errors that are logged while any of the processes lives are noted."""
    loggers = [logging.getLogger(name) for name in ("lockmanager", "lockmanager_node", "asyncio")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    handler = _Handler(processes, findings)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        logger.addHandler(handler)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(handler)


class _Handler(logging.Handler):
    """Takes the errors of the product's logs."""

    def __init__(self, processes: Processes, findings: Findings) -> None:
        super().__init__()
        self._processes, self._findings = processes, findings

    def emit(self, record: logging.LogRecord) -> None:
        expected = "journal_failed" in record.getMessage()
        if not expected and any(process.alive for process in self._processes()):
            self._findings.notes.append(record.getMessage())
