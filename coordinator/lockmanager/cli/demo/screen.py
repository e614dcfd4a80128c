"""What the demonstration shows: a line for what happens, and the summary; plain text where no terminal is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from .checks import Verdict
from .events import Ended, Event, Held, Lost, NodeKilled, NodeStarted, Paused, Resumed, Wrote
from .troupe import now

_STYLES: Final = {"A": "cyan", "B": "magenta"}


class Screen:
    """Prints to stdout."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = now()

    def say(self, text: str, style: str = "") -> None:
        """Print one line, led by the seconds since the beginning."""
        self._console.print(Text(f"{(now() - self._began) / 1_000_000:7.3f} s  {text}", style))

    def show(self, event: Event) -> None:
        """Print what happened; the ordinary end of a hold and the write under it go without saying."""
        match event:
            case Held():
                waited = event.waited / 1_000_000
                style = _STYLES.get(event.process, "")
                self.say(f"{event.worker} holds the lock, fence {event.fence}, waited {waited:.3f} s", style)
            case Wrote(accepted=False):
                self.say(f"{event.worker} writes with fence {event.fence}: REFUSED, it is stale", "bold red")
            case Wrote(planted=True):
                self.say(f"{event.worker} writes with fence {event.fence}: accepted", "bold red")
            case Lost():
                self.say(f"{event.worker} is told that its lease with fence {event.fence} is lost", "yellow")
            case Paused():
                self.say(f"process {event.process} stands still while {event.worker} holds the lock", "bold yellow")
            case Resumed():
                self.say(f"process {event.process} goes on and knows nothing of it", "bold yellow")
            case NodeKilled():
                self.say(f"{event.node} is killed (SIGKILL)", "bold yellow")
            case NodeStarted():
                self.say(f"{event.node} is started again", "bold yellow")
            case Ended() | Wrote():
                pass

    def summary(self, events: Collection[Event], verdicts: Sequence[Verdict]) -> None:
        """Print the numbers, every verdict, and the conclusion."""
        held = [event for event in events if isinstance(event, Held)]
        longest = max((one.waited for one in held), default=0) / 1_000_000
        self._console.print(f"\nacquisitions   {len(held)}\nlongest wait   {longest:.3f} s\n")
        for verdict in verdicts:
            mark, style = ("ok    ", "green") if verdict.kept else ("FAILED", "bold red")
            self._console.print(Text.assemble((mark, style), f"  {verdict.promise:<38}{verdict.detail}"))
        kept = all(verdict.kept for verdict in verdicts)
        self._console.print(
            Text("\nall promises kept" if kept else "\na promise was broken", "green" if kept else "red")
        )
