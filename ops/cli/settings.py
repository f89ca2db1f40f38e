"""`callboard settings`: what is in effect, where it came from, and the page that tells every setting."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic_settings import BaseSettings
from rich.text import Text

from broker import ConfigurationError, Settings, load_settings
from ops.boot import load
from ops.cli.screen import console, emit_json, errors, table
from ops.doctor.alert_settings import AlertSettings
from ops.setting_rows import SettingGroup, SettingRow, read_groups
from ops.settings_page import settings_page

COLOURS = {"default": "dim", "environment": "cyan", "file": "green"}


def settings(
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    page: Annotated[
        bool,
        typer.Option("--page", help="Write the documentation of all settings, as in ops/docs/settings.md."),
    ] = False,
) -> None:
    """Show every setting of the engine and of the loaded domains: its value, and whether that is the default, the
    environment's, or read from a file that CALLBOARD_…_FILE names. Secrets are masked. Exit status 1 if one is wrong."""
    kinds: list[type[BaseSettings]] = [Settings, AlertSettings, *_of_domains()]
    if page:
        sys.stdout.write(settings_page(kinds))
        return
    groups = read_groups(kinds)
    if json:
        emit_json(groups)
    else:
        _show(groups)
    if any(group.error for group in groups):
        raise typer.Exit(1)


def _of_domains() -> Sequence[type[BaseSettings]]:
    """Without an engine that can be read nobody knows which domains there are; its group says why."""
    try:
        return load(load_settings()).settings
    except ConfigurationError as error:
        errors().print(f"looking without the domains: {error}", style="yellow", soft_wrap=True)
        return ()


def _show(groups: Sequence[SettingGroup]) -> None:
    out = console()
    width = max((len(row.variable) for group in groups for row in group.rows), default=0)
    for number, group in enumerate(groups):
        if number:
            out.print()
        out.print(group.name, style="bold")
        if group.error:
            out.print(f"  {group.error}", style="red", soft_wrap=True)
        else:
            out.print(
                table(["  VARIABLE".ljust(width + 2), "FROM".ljust(11), "VALUE"], map(_line, group.rows))
            )


def _line(row: SettingRow) -> tuple[str | Text, ...]:
    value = row.value or Text("(empty)", style="dim")
    return f"  {row.variable}", Text(row.origin, style=COLOURS[row.origin]), value
