"""`callboard doctor`: what may be wrong with this installation, and what to do about it."""

from typing import Annotated

import typer
from rich.text import Text

from broker import Settings
from ops.cli.screen import console, emit_json, table
from ops.doctor.examination import examine
from ops.doctor.finding import Finding, Report
from ops.reach import configure_logs

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Examine settings, servers, queues and work; say what is wrong and how to mend it. Changes nothing, shows no secret.

    Exit status 1 if something fails; warnings do not count. What needs a server that is down is skipped.
    """
    configure_logs(Settings.model_construct(), "critical")
    report = examine()
    if json:
        emit_json({"healthy": report.healthy, "findings": report.findings, "skipped": report.skipped})
    else:
        _show(report)
    if not report.healthy:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    out = console()
    rows = [line for finding in report.findings for line in _lines(finding)]
    out.print(table(["", "CHECK", "FOUND"], rows, wrapped=(2,)))
    out.print()
    for lack in dict.fromkeys(report.skipped.values()):
        names = [id for id, why in report.skipped.items() if why == lack]
        out.print(f"skipped without {lack}: {', '.join(names)}", style="dim", soft_wrap=True)
    summary = ", ".join(f"{report.count(state)} {state}" for state in ("ok", "warn", "fail"))
    out.print(summary, style="green" if report.healthy else "red")


def _lines(finding: Finding) -> list[tuple[Text, str, str | Text]]:
    first = (Text(finding.state, style=COLOURS[finding.state]), finding.id, finding.found)
    return [first, (Text(""), "", Text(f"→ {finding.fix}", style="cyan"))] if finding.fix else [first]
