"""The settings of the tasks domain, read from `CALLBOARD_TASKS_*`. Nothing needs to be set."""

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings


class TasksSettings(EnvironmentSettings):
    """Where the files are."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_TASKS_")

    folder: Path | None = None
    """The folder of files to work on. None: `tasks` below `CALLBOARD_DATA`."""
