"""A repository of somebody's own, outside of this one: the package `acme` with two events, two actors, one pipeline."""

from collections.abc import Mapping
from pathlib import Path

FILES = {
    "pyproject.toml": """
[project]
name = "acme-events"
version = "1.0"

[tool.mypy]
strict = true
plugins = ["pydantic.mypy"]
""",
    "acme/__init__.py": "",
    "acme/schemas/__init__.py": "",
    "acme/schemas/tins.py": """
from schemas import Event


class TinFilled(Event, type="tin.filled"):
    number: int


class TinLabelled(Event, type="tin.labelled"):
    number: int
    words: str
""",
    "acme/actors/__init__.py": "",
    "acme/actors/tins/__init__.py": "",
    "acme/actors/tins/sql/0001_pre_tins.sql": "create table shelf (number int primary key, words text not null);\n",
    "acme/actors/tins/label.py": """
from broker import Run, actor

from acme.schemas.tins import TinFilled, TinLabelled


@actor()
def label(event: TinFilled, run: Run) -> TinLabelled:
    return TinLabelled(number=event.number, words=run.step("words", words, event.number))


def words(number: int) -> str:
    return f"tin {number}"
""",
    "acme/actors/tins/shelve.py": """
from broker import Run, actor

from acme.schemas.tins import TinLabelled

SHELVE = "insert into tins.shelf (number, words) values (%(number)s, %(words)s)"


@actor()
def shelve(event: TinLabelled, run: Run) -> None:
    run.write(SHELVE, {"number": event.number, "words": event.words})
""",
    "acme/pipelines/__init__.py": "",
    "acme/pipelines/tin_line.py": """
from broker import Pipeline

from acme.actors.tins.label import label
from acme.actors.tins.shelve import shelve

tin_line = Pipeline("tin-line", label | shelve)
""",
}

WRONG_LINK = FILES["acme/pipelines/tin_line.py"].replace("label | shelve", "label | label | shelve")


def write_repository(folder: Path) -> Path:
    return write_files(folder, FILES)


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return folder
