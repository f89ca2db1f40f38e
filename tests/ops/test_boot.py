"""What is wrong in an app's own files is told with its place, not with our traceback."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import ConfigurationError, Settings
from ops.boot import load


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An app with one domain, whose actor a test writes."""
    domain = tmp_path / "brokenapp" / "actors" / "mill"
    domain.mkdir(parents=True)
    for folder in (domain, domain.parent, domain.parents[1]):
        (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield domain / "grind.py"
    for name in [name for name in sys.modules if name.startswith("brokenapp")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def grind(:\n", r"cannot import brokenapp\.actors\.mill\.grind: SyntaxError in .*grind\.py:1: "),
        ("x = 1\ny = x.grain\n", r"AttributeError in .*grind\.py:2: 'int' object has no attribute 'grain'"),
        (
            "\nimport flour_nowhere\n",
            r"ModuleNotFoundError in .*grind\.py:2: No module named 'flour_nowhere'",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_its_line(app: Path, text: str, told: str) -> None:
    app.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load(Settings(apps=("brokenapp",)))


def test_an_app_that_is_not_there_is_told_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="cannot import nowhere_to_be_found"):
        load(Settings(apps=("nowhere_to_be_found",)))
