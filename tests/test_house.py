"""The house rules that a machine can keep."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
ROOMS = ["actors", "broker", "ops", "pipelines", "schemas"]
TOP_LEVEL = {*ROOMS, "tests", "pyproject.toml", "README.md"}
WALL = 400


def files(*patterns: str) -> list[Path]:
    """What is in the checkout and not ignored, committed or not yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *patterns],
        cwd=HOUSE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip(f"not a git checkout: {listed.stderr.strip()}")
    return [HOUSE / name for name in listed.stdout.split("\0") if name and (HOUSE / name).is_file()]


def test_the_top_level_holds_the_rooms_and_nothing_else() -> None:
    names = {path.relative_to(HOUSE).parts[0] for path in files()}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()


def test_every_clause_that_catches_everything_and_raises_nothing_is_accounted_for() -> None:
    """`ops/docs/crash-points.md` says of each how what it was about ends."""
    told = set(
        re.findall(r"^\| `([\w/]+\.py)` \|", (HOUSE / "ops/docs/crash-points.md").read_text(), re.MULTILINE)
    )
    found = {
        str(path.relative_to(HOUSE))
        for path in files(*(f"{room}/*.py" for room in ROOMS))
        for clause in ast.walk(ast.parse(path.read_text()))
        if isinstance(clause, ast.ExceptHandler) and _catches_all(clause) and not _raises(clause)
    }
    assert found == told


def _catches_all(clause: ast.ExceptHandler) -> bool:
    names = (
        {node.id for node in ast.walk(clause.type) if isinstance(node, ast.Name)} if clause.type else set()
    )
    return clause.type is None or not names.isdisjoint({"Exception", "BaseException"})


def _raises(clause: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(clause))


def test_requirement_and_lock_files_name_no_address() -> None:
    """An index address in a lock file sends every other machine to that index."""
    kept = files("*requirements/*.txt", "*.lock", "*lock.toml", "*lock.json", "*lock.yaml")
    assert kept
    assert [str(path) for path in kept if re.search(r"\w+://", path.read_text())] == []


def test_no_file_of_code_is_longer_than_the_wall() -> None:
    lengths = {path.relative_to(HOUSE): len(path.read_text().splitlines()) for path in files("*.py", "*.sql")}
    assert {path: length for path, length in lengths.items() if length > WALL} == {}


def test_tests_wait_for_signals_and_never_for_a_while() -> None:
    sleeps = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))|from time import .*\bsleep\b")
    found = [
        f"{path.relative_to(HOUSE)}:{number}"
        for path in files("tests/*.py")
        if HOUSE / "tests/support" not in path.parents and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if sleeps.search(line)
    ]
    assert found == []


def test_no_foreign_distribution_owns_a_room() -> None:
    """The rooms have short names: a stranger's `schemas` in the same environment would shadow ours."""
    owners = packages_distributions()
    assert {
        room: owners[room] for room in ROOMS if set(owners.get(room, ["callboard"])) != {"callboard"}
    } == {}


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=HOUSE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
