"""The commands under one roof; errors become messages and exit statuses here and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from ..errors import LockManagerError
from .bench.command import bench
from .demo.command import demo
from .exits import SIGNALLED, Exit, status_of
from .locks import locks
from .messages import say
from .node import node
from .run import run
from .status import status
from .up import up

_SIGINT = 2


class _App(click.Group):
    """A group whose statuses are ours: a usage error is 64, not click's 2."""

    def main(self, *args: Any, **options: Any) -> Any:
        options["standalone_mode"] = False
        command = super().main
        sys.exit(_status(lambda: command(*args, **options)))

    def run(self) -> int:
        """Run the command of this process's arguments and return its exit status."""
        try:
            self.main(prog_name="lockmanager")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else Exit.FAILED
        return Exit.OK


def _status(command: Callable[[], int | None]) -> int:
    try:
        return int(command() or Exit.OK)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.UsageError as error:
        _say_usage(error)
        return Exit.USAGE
    except click.ClickException as error:
        say(error.format_message())
        return error.exit_code
    except click.Abort:
        return SIGNALLED + _SIGINT
    except LockManagerError as error:
        say(str(error))
        return status_of(error)


def _say_usage(error: click.UsageError) -> None:
    say(error.format_message())
    if error.ctx is not None:
        say(f"try '{error.ctx.command_path} --help'")


@click.group(cls=_App)
@click.version_option(package_name="lockmanager", prog_name="lockmanager")
def app() -> None:
    """Locks for programs on many machines: quorum locks with fencing tokens and a fair line."""


for _command in (up, node, run, status, locks, bench, demo):
    app.add_command(_command)
