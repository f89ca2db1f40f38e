"""What the type checkers tell an author: each mistake in `programs/` is found on its line, and its correct twin is clean.

The programs are kept as text, because a checker of the whole house must not read them.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py.txt"))
TOOLS = Path(sys.executable).parent

Lines = dict[str, set[int]]
"""The lines at fault, by program."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs as Python files."""
    made = tmp_path_factory.mktemp("programs")
    for program in PROGRAMS:
        shutil.copy(program, made / program.stem)
    return made


@pytest.fixture(scope="module")
def mypy(folder: Path) -> Lines:
    """What mypy finds with the settings of the house."""
    done = run("mypy", "--no-error-summary", "--no-pretty", *map(str, sorted(folder.glob("*.py"))))
    found: Lines = defaultdict(set)
    for path, line in re.findall(r"^(.+?):(\d+): error:", done.stdout, re.MULTILINE):
        found[Path(path).name].add(int(line))
    assert done.returncode in (0, 1), done.stderr
    return found


@pytest.fixture(scope="module")
def pyright(folder: Path) -> Lines:
    """What basedpyright finds with the settings of the house."""
    settings = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["basedpyright"]
    settings |= {"include": [str(folder)], "extraPaths": [str(HOUSE)], "venvPath": str(HOUSE)}
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    done = run("basedpyright", "--outputjson", "--project", str(project), "--pythonpath", sys.executable)
    found: Lines = defaultdict(set)
    for fault in json.loads(done.stdout)["generalDiagnostics"]:
        if fault["severity"] == "error":
            found[Path(fault["file"]).name].add(fault["range"]["start"]["line"] + 1)
    return found


def run(tool: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [TOOLS / tool, *arguments], cwd=HOUSE, capture_output=True, text=True, check=False, timeout=300
    )


def marked(program: Path) -> set[int]:
    return {
        number for number, line in enumerate(program.read_text().splitlines(), 1) if line.endswith("# wrong")
    }


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name.partition(".")[0])
def test_both_checkers_find_the_marked_lines_and_no_others(
    program: Path, mypy: Lines, pyright: Lines
) -> None:
    assert (mypy[program.stem], pyright[program.stem]) == (marked(program), marked(program))


def test_every_mistake_has_a_correct_twin() -> None:
    names = {program.name.partition(".")[0] for program in PROGRAMS}
    assert {name.replace("_wrong", "_right") for name in names} <= names
    assert all(marked(program) for program in PROGRAMS if "_wrong" in program.name)
