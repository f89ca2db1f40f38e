"""A stage with domains of this house on it."""

from pathlib import Path
from typing import Any

from broker import Actor
from broker.migrate import Migration, read_folder
from broker.testing import Stage

ACTORS = Path(__file__).parents[2] / "actors"


def domains(*names: str) -> list[Migration]:
    """The migrations of these domains."""
    return [migration for name in names for migration in read_folder(name, ACTORS / name / "sql", name)]


def stage(dsn: str, *actors: Actor[Any, Any]) -> Stage:
    """An engine with these actors and the tables of their domains."""
    return Stage(dsn, actors, migrations=domains(*dict.fromkeys(actor.domain for actor in actors)))
