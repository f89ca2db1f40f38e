"""Settings as an operator meets them: what is in effect, where from, what stays hidden, and the page that tells them all."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.orders.settings import OrdersSettings
from broker import ConfigurationError, EnvironmentSettings, Settings, load_settings
from ops.boot import load
from ops.doctor.alert_settings import AlertSettings
from ops.setting_rows import read_groups
from tests.ops.conftest import Cli
from tests.test_house import HOUSE

SECRET = "hunter2"


class StallSettings(EnvironmentSettings):
    """What an author might write, a careless field included."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_STALL_")

    till_password: str = ""
    shelves: int = 3
    name: SecretStr = SecretStr("")


class StrangeSettings(BaseSettings):
    """Not built on ours."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_STRANGE_")

    width: int = 1


def rows(cli: Cli, *, code: int = 0) -> dict[str, dict[str, Any]]:
    done = cli("settings", "--json")
    assert done.exit_code == code, done.output
    return {row["variable"]: row for group in json.loads(done.stdout) for row in group["rows"]}


def test_each_value_says_where_it_comes_from(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLBOARD_THREADS", "3")
    (tmp_path / "lease").write_text("15\n")
    monkeypatch.setenv("CALLBOARD_LEASE_FILE", str(tmp_path / "lease"))

    found = rows(cli)

    assert (found["CALLBOARD_THREADS"]["value"], found["CALLBOARD_THREADS"]["origin"]) == ("3", "environment")
    assert (found["CALLBOARD_LEASE"]["value"], found["CALLBOARD_LEASE"]["origin"]) == ("15 s", "file")
    assert (found["CALLBOARD_GRACE"]["value"], found["CALLBOARD_GRACE"]["origin"]) == ("25 s", "default")


def test_domains_that_are_loaded_are_shown_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CALLBOARD_PAGES_MAX_BYTES" not in rows(cli)

    monkeypatch.setenv("CALLBOARD_DEMO", "1")

    assert rows(cli)["CALLBOARD_PAGES_MAX_BYTES"]["value"] == "2000000"


@pytest.mark.parametrize("text", ["10", "10.0", "PT10S"])
def test_a_length_of_time_is_seconds_or_iso_8601(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CALLBOARD_LEASE", text)

    assert load_settings().lease == timedelta(seconds=10)


@pytest.mark.parametrize(
    ("given", "nodes"),
    [("", ()), ("amqp://one", ("amqp://one",)), (" amqp://one , amqp://two,", ("amqp://one", "amqp://two"))],
)
def test_the_broker_may_be_several_nodes_separated_by_commas(given: str, nodes: tuple[str, ...]) -> None:
    assert Settings(broker_url=SecretStr(given)).broker_urls == nodes


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_secrets_are_masked(cli: Cli, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]) -> None:
    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    monkeypatch.setenv("CALLBOARD_ORDERS_S3_SECRET_KEY", SECRET)
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", f"postgresql://ada:{SECRET}@db/shop?sslpassword={SECRET}")
    monkeypatch.setenv(
        "CALLBOARD_BROKER_URL", f"amqp://ada:{SECRET}@one:5672/%2F, amqp://ada:{SECRET}@two:5672/%2F"
    )

    shown = cli("settings", *form).stdout

    assert SECRET not in shown
    assert "postgresql://***@db/shop" in shown
    assert "amqp://***@one:5672/%2F,amqp://***@two:5672/%2F" in shown


def test_a_field_named_like_a_secret_is_masked_although_it_is_typed_as_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALLBOARD_STALL_TILL_PASSWORD", SECRET)
    monkeypatch.setenv("CALLBOARD_STALL_NAME", SECRET)

    [group] = read_groups([StallSettings])

    assert [row.value for row in group.rows] == ["***", "3", "***"]


def test_a_class_that_cannot_be_read_does_not_hide_the_others(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    monkeypatch.setenv("CALLBOARD_PAGES_MAX_BYTES", SECRET)

    done = cli("settings")

    assert done.exit_code == 1
    assert "CALLBOARD_PAGES_MAX_BYTES" in done.stdout and SECRET not in done.stdout
    assert "CALLBOARD_ORDERS_STORAGE" in done.stdout


def test_settings_of_an_app_that_are_not_built_on_ours_tell_no_value_when_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALLBOARD_STRANGE_WIDTH", SECRET)

    [group] = read_groups([StrangeSettings])

    assert group.error == "StrangeSettings cannot be read: see width"


def test_a_file_stands_for_a_setting_of_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Docker mounts a secret; the newline at the end is an editor's."""
    (tmp_path / "dsn").write_text("postgresql://ada:pass word@db/shop\n")
    monkeypatch.setenv("CALLBOARD_DATABASE_URL_FILE", str(tmp_path / "dsn"))
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "")  # as compose files leave it

    assert load_settings().database_url.get_secret_value() == "postgresql://ada:pass word@db/shop"


def test_a_file_stands_for_a_setting_of_a_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    monkeypatch.setenv("CALLBOARD_ORDERS_MUSIC_KEY_FILE", str(tmp_path / "key"))

    assert OrdersSettings.load().music_key.get_secret_value() == SECRET


def test_a_value_and_a_file_for_it_are_refused_by_both_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dsn").write_text(SECRET)
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", SECRET)
    monkeypatch.setenv("CALLBOARD_DATABASE_URL_FILE", str(tmp_path / "dsn"))

    with pytest.raises(
        ConfigurationError, match="CALLBOARD_DATABASE_URL and CALLBOARD_DATABASE_URL_FILE"
    ) as told:
        load_settings()

    assert SECRET not in str(told.value)


def test_a_file_that_cannot_be_read_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLBOARD_BROKER_URL_FILE", str(tmp_path / "nowhere"))

    with pytest.raises(ConfigurationError, match=r"CALLBOARD_BROKER_URL_FILE .*No such file") as told:
        load_settings()

    assert str(tmp_path) not in str(told.value)


def test_a_wrong_value_in_a_file_is_refused_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "threads").write_text(SECRET)
    monkeypatch.setenv("CALLBOARD_THREADS_FILE", str(tmp_path / "threads"))

    with pytest.raises(ConfigurationError, match="CALLBOARD_THREADS") as told:
        load_settings()

    assert SECRET not in str(told.value)


def test_the_page_of_all_settings_is_current(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """To renew it: CALLBOARD_DEMO=1 callboard settings --page > ops/docs/settings.md"""
    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    monkeypatch.delenv("CALLBOARD_APPS")
    monkeypatch.setenv("CALLBOARD_THREADS", "3")  # what is set here must not be on it

    assert cli("settings", "--page").stdout == (HOUSE / "ops/docs/settings.md").read_text()


def test_every_setting_is_described() -> None:
    kinds: list[type[BaseSettings]] = [Settings, AlertSettings, *load(Settings(demo=True)).settings]

    silent = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, info in kind.model_fields.items()
        if not info.description
    ]

    assert silent == []


def test_a_namespace_named_as_a_domain_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'orders'.* and so is a domain"):
        load(Settings(demo=True, namespace="orders"))
