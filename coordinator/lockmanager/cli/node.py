"""`lockmanager node`: one lock node in this process; the options are the node's own."""

from __future__ import annotations

import click


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def node(options: tuple[str, ...]) -> int:
    """Run one lock node in this process (see `lockmanager node --help`)."""
    from lockmanager_node.__main__ import main

    return main(options)
