"""Cron expressions that periodiq cannot read: it says so in the words of its innards, and we in those of the author."""

import ast
import traceback
from pathlib import Path
from traceback import FrameSummary


def misread(error: Exception) -> str | None:
    """What to tell, with the name of the schedule and its line; None for an error that did not come out of periodiq."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if Path(frame.filename).parent.name != "periodiq"]
    if not outside or outside[-1] is frames[-1]:
        return None
    caller = outside[-1]
    return (
        f"schedule {_schedule_at(caller)}: periodiq cannot read the expression in {Path(caller.filename).name}, line "
        f"{caller.lineno} ({type(error).__name__}: {error}): five fields, or a name like @daily; what it does not know, such as "
        "names of months, is given as text: Schedule(name, '0 0 1 jan *', …)"
    )


def _schedule_at(caller: FrameSummary) -> str:
    """The first argument of the `Schedule(…)` around the line, as it is written; `?` where there is none."""
    for node in ast.walk(ast.parse(Path(caller.filename).read_text())):
        if isinstance(node, ast.Call) and node.lineno <= (caller.lineno or 0) <= (node.end_lineno or 0):
            name = [word.value for word in node.keywords if word.arg == "name"] or node.args[:1]
            if ast.unparse(node.func).endswith("Schedule") and name:
                return ast.unparse(name[0]).strip("'")
    return "?"
