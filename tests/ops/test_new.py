"""`callboard new`: what it refuses, and that nothing is written then."""

from pathlib import Path

import pytest

from broker import ConfigurationError, Settings
from ops.scaffold import make
from ops.scaffold.files import Files
from ops.scaffold.place import Place
from ops.scaffold.schema import with_event

HERE = Settings(demo=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty repository for the package `acme`."""
    return Place(tmp_path, tmp_path / "acme", "acme.")


def names(files: Files) -> set[str]:
    return {files.place.shown(path) for path in files.new}


def test_a_domain_has_rooms_for_events_actors_and_tests(place: Place) -> None:
    files = make.new_domain(place, "billing")

    assert {
        "acme/schemas/billing.py",
        "acme/actors/billing/__init__.py",
        "tests/actors/billing/__init__.py",
    } <= names(files)
    assert not (place.rooms / "actors").exists()
    files.write()
    with pytest.raises(ConfigurationError, match="there already"):
        make.new_domain(place, "billing")


def test_an_event_gets_the_imports_of_its_fields_in_their_order(place: Place) -> None:
    make.new_event(place, "billing.charged", ["order_id:UUID"], None).write()
    make.new_event(place, "billing.refunded", ["at:datetime", "page:HttpUrl"], None).write()

    text = (place.rooms / "schemas/billing.py").read_text()
    block = [
        "from datetime import datetime",
        "from uuid import UUID",
        "",
        "from pydantic import HttpUrl",
        "from schemas import Event",
    ]
    assert "\n".join(block) in text
    assert text.index("class BillingCharged") < text.index("class BillingRefunded")
    compile(text, "billing.py", "exec")


def test_a_module_with_other_imports_is_left_alone(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="by hand"):
        with_event(place, '"""Billing."""\n\nimport uuid\n', "class X: ...\n", [])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda place: make.new_event(place, "Billing", [], None), "Billing"),
        (lambda place: make.new_event(place, "billing.charged", ["x:Money"], None), "types are"),
        (lambda place: make.new_event(place, "billing.charged", ["id:int", "model_dump:int"], None), "model_dump"),
        (lambda place: make.new_event(place, "page.scan.requested", [], None), "there already"),
        (lambda place: make.new_actor(place, "charge", "order.completed", None), "billing.charge"),
        (lambda place: make.new_actor(place, "billing.charge", "order.complete", None), "did you mean"),
        (lambda place: make.new_actor(place, "billing.import", "order.completed", None), "import"),
        (lambda place: make.new_actor(place, "billing.look", "order.completed", None), "take another verb"),
        (lambda place: make.new_actor(place, "billing.charge", "order.completed", "page.analyze.requested"), "--publishes"),
        (lambda place: make.new_domain(place, "engine"), "engine"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_and_nothing_is_written(wrong, told: str, place: Place) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=told):
        wrong(place)

    assert list(place.root.iterdir()) == []


def test_a_pipeline_of_actors_that_do_not_fit_is_refused() -> None:
    house = Place(Path(__file__).parents[2], Path(__file__).parents[2], "")

    with pytest.raises(ConfigurationError, match=r"notifications\.notify hears"):
        make.new_pipeline(house, "wrong-way", ["orders.accept", "notifications.notify"], HERE)
    with pytest.raises(ConfigurationError, match="did you mean"):
        make.new_pipeline(house, "wrong-name", ["orders.accep"], HERE)
