"""Where new code goes: into this repository, or into a package of one's own with the same rooms."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import schemas
from broker import ConfigurationError
from broker.wiring import nearest


@dataclass(frozen=True, slots=True)
class Place:
    """`rooms` is the folder of schemas/, actors/ and pipelines/; `root` is the repository's, which has tests/.

    `prefix` is what modules begin with: nothing in this repository, `acme.` in a package of one's own.
    """

    root: Path
    rooms: Path
    prefix: str

    def module(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def path(self, module: str) -> Path:
        """The file of one of its modules."""
        return self.rooms.joinpath(*module.removeprefix(self.prefix).split(".")).with_suffix(".py")

    def shown(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    @property
    def runner(self) -> str:
        """The command that runs its tests."""
        return "python -m pytest" if self.prefix else "./ops/test"

    @property
    def schemas(self) -> str:
        """Where a module of events imports its base from."""
        return "schemas" if self.prefix else ".event"


def place_of(app: str | None, apps: Sequence[str], here: Path) -> Place:
    """The package `app`; without one the only package of `apps` if `here` is in its repository; else this repository.

    Raises ConfigurationError for a package that is not there, or that is an installed copy.
    """
    if app is not None:
        return _package(app, apps)
    if len(apps) == 1:
        only = _package(apps[0], apps)
        if here.resolve().is_relative_to(only.root):
            return only
    return _house()


def _house() -> Place:
    root = Path(schemas.__file__).resolve().parents[1]
    if not (root / "pyproject.toml").exists():
        raise ConfigurationError(
            "this Callboard is installed, not a checkout: write into a package of your own with --app "
            "(ops/docs/your-own-repository.md)"
        )
    return Place(root, root, "")


def _package(name: str, apps: Sequence[str]) -> Place:
    try:
        spec = importlib.util.find_spec(name) if name.replace(".", "_").isidentifier() else None
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"no package {name!r} is installed here{nearest(name, apps)}; in its repository: "
            "`uv pip install --no-deps --editable .` (ops/docs/your-own-repository.md)"
        )
    rooms = Path(next(iter(spec.submodule_search_locations))).resolve()
    if {"site-packages", "dist-packages"} & set(rooms.parts):
        raise ConfigurationError(
            f"package {name!r} is an installed copy: install its repository with --editable"
        )
    root = next((folder for folder in rooms.parents if (folder / "pyproject.toml").exists()), rooms.parent)
    return Place(root, rooms, f"{name}.")
