"""What is written: all of it, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker import ConfigurationError
from ops.scaffold.place import Place


@dataclass
class Files:
    """New files and changed ones, as texts; nothing is touched before `write`."""

    place: Place
    new: dict[Path, str] = field(default_factory=dict[Path, str])
    changed: dict[Path, str] = field(default_factory=dict[Path, str])

    def add(self, path: Path, text: str, *, may_exist: bool = False) -> None:
        """Raises ConfigurationError for a file that is there, unless it may be: then it is left alone."""
        if path.exists():
            if may_exist:
                return
            raise ConfigurationError(f"{self.place.shown(path)} is there already: nothing was written")
        self.new[path] = text

    def change(self, path: Path, text: str) -> None:
        self.changed[path] = text

    def write(self) -> list[str]:
        """The paths, as a person calls them; changed ones say so."""
        for path, text in {**self.new, **self.changed}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return [
            *map(self.place.shown, self.new),
            *(f"{self.place.shown(path)} (changed)" for path in self.changed),
        ]


def filled(template: str, values: Mapping[str, object]) -> str:
    """One of templates/, with the blanks filled in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    # Python code, not HTML: names have been checked, nothing is to be escaped.
    environment = Environment(  # noqa: S701
        loader=loader,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{template}.jinja").render(values)
