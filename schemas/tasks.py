"""Tasks: work on files that somebody has asked for."""

from typing import Annotated

from pydantic import Field, StringConstraints

from .event import Event
from .marks import SUBJECT

Id = Annotated[str, StringConstraints(min_length=1, max_length=255)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
"""A plain name: it leads nowhere else."""


class TaskRequested(Event, type="task.requested", aliases=("task/requested",)):
    """One file is to be worked on; its user is told if it cannot be."""

    task_id: Id
    user_id: Annotated[Id, SUBJECT]
    file: FileName


class LongTask(Event, type="long.task", aliases=("long/task",)):
    """Many files; all of it has an hour."""

    task_id: Id
    user_id: Annotated[Id, SUBJECT]
    files: tuple[FileName, ...] = Field(min_length=1, max_length=1_000)
