"""People at the pages: who has to sign in, what each role may do, and what a stranger cannot."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from broker import Run, actor, people
from broker.errors import CallboardError, NotFoundError
from broker.history import list_runs
from broker.pause import pause
from broker.people import TooManyTriesError, WrongPasswordError
from broker.testing import Stage
from ops.cli import app
from ops.web.server import serving
from schemas import Event

PASSWORD = "correct horse battery"


class LampLit(Event, type="lamp.lit"):
    number: int


@actor()
def trim(event: LampLit, run: Run) -> None:
    run.sleep(timedelta(hours=1))
    run.step("trim", int, event.number)


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [trim]) as made:
        yield made


@pytest.fixture
def page(stage: Stage) -> Iterator[str]:
    with serving(stage.settings) as address:
        yield address.rstrip("/")


@contextmanager
def browser(page: str) -> Generator[httpx.Client]:
    headers = {"accept": "text/html", "origin": page}
    with httpx.Client(base_url=page, timeout=20, headers=headers) as client:
        yield client


@contextmanager
def signed_in(page: str, name: str, password: str = PASSWORD) -> Generator[httpx.Client]:
    with browser(page) as client:
        answer = client.post("/sign-in", data={"name": name, "password": password, "next": "/account"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/account"), answer.text
        yield client


def have(stage: Stage, **roles: people.Role) -> None:
    with stage.database.once("test") as connection:
        for name, role in roles.items():
            people.add(connection, name, role, PASSWORD, "test")


def only_run(stage: Stage) -> tuple[str, str]:
    with stage.database.once("test") as connection:
        [run] = list_runs(connection)
    return str(run.id), run.status


def test_the_page_is_open_on_this_machine_until_there_is_a_person(stage: Stage, page: str) -> None:
    with browser(page) as client:
        assert client.get("/").status_code == 200
        assert client.get("/sign-in").headers["location"] == "/"
        assert "Nobody has to sign in here" in client.get("/account").text
        have(stage, ada="admin")
        answer = client.get("/", params={"status": "failed"})
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/sign-in?next=%2F%3Fstatus%3Dfailed",
        )
        for path in ("/runs/x", "/account", "/people", "/live", "/runs/x/live"):
            if not path.endswith("live"):
                assert client.get(path).status_code == 303, path
            else:
                with client.stream("GET", path) as stream:
                    assert "Sign in" in next(stream.iter_lines())
        # A program is told in its own way, and doors of programs keep their own keys.
        assert client.get("/", headers={"accept": "*/*"}).json()["error"]["type"] == "session"
        assert client.get("/healthz").status_code == 200


def test_beyond_this_machine_everybody_signs_in_even_while_there_is_nobody(stage: Stage) -> None:
    with serving(stage.settings, host="0.0.0.0") as address:  # noqa: S104
        page = address.replace("0.0.0.0", "127.0.0.1").rstrip("/")  # noqa: S104
        with browser(page) as client:
            assert client.get("/").status_code == 303
            assert "callboard people add" in client.get("/sign-in").text


def test_roles_bind_what_one_may_do(stage: Stage, page: str) -> None:
    have(stage, vera="viewer", otto="operator", ada="admin")
    stage.publish(LampLit(number=1))
    stage.drain()
    id, status = only_run(stage)
    assert status == "waiting"
    with stage.database.once("test") as connection:
        pause(connection, "actor", trim.name, "test")
    resume = {"kind": "actor", "name": trim.name}

    with signed_in(page, "vera") as client:
        shown = client.get(f"/runs/{id}").text
        assert "test_people.trim" in shown and "Cancel" not in shown and "People" not in shown
        assert "Resume" not in client.get("/").text
        for path, form in ((f"/runs/{id}/cancel", {}), (f"/runs/{id}/again", {}), ("/resume", resume)):
            answer = client.post(path, data=form)
            assert answer.status_code == 403 and "an operator; vera is viewer" in answer.text, path
        assert client.get("/people").status_code == 403
        answer = client.post("/people", data={"act": "role", "name": "vera", "role": "admin"})
        assert answer.status_code == 403
    assert only_run(stage) == (id, "waiting")

    with signed_in(page, "otto") as client:
        assert "Resume" in client.get("/").text
        assert client.post("/resume", data=resume).headers["location"] == "/"
        answer = client.post("/resume", data=resume)
        assert answer.status_code == 404 and "is not paused" in answer.text
        assert "Cancel" in client.get(f"/runs/{id}").text
        assert client.post(f"/runs/{id}/again").status_code == 409
        for _ in range(2):
            assert client.post(f"/runs/{id}/cancel").headers["location"] == f"/runs/{id}"
            assert only_run(stage) == (id, "cancelled")
        assert "Run again" in client.get(f"/runs/{id}").text
        assert client.post(f"/runs/{id}/again").status_code == 303
        assert client.post("/runs/0190aaaa-0000-7000-8000-000000000000/cancel").status_code == 404
        assert client.get("/people").status_code == 403
    stage.drain()
    assert only_run(stage) == (id, "waiting")
    acts = stage.rows("select who, what, target from audit where what in ('cancel', 'resume') order by at")
    assert acts == [("otto", "resume", f"actor {trim.name}"), ("otto", "cancel", id)]


def test_an_admin_adds_people_and_what_is_taken_away_holds_at_once(stage: Stage, page: str) -> None:
    have(stage, ada="admin")
    with signed_in(page, "ada") as admin:
        form = {"act": "add", "name": "vera", "role": "viewer", "password": "too short"}
        assert "12 to 1000 characters" in admin.post("/people", data=form).text
        assert admin.post("/people", data=form | {"password": PASSWORD}).status_code == 303
        assert "already" in admin.post("/people", data=form | {"password": PASSWORD}).text
        assert admin.post("/people", data=form | {"role": "owner"}).status_code == 400
        assert admin.post("/people", data={"act": "sudo"}).status_code == 400
        assert "the last admin" in admin.post("/people", data={"act": "remove", "name": "ada"}).text
        assert (
            "the last admin"
            in admin.post("/people", data={"act": "role", "name": "ada", "role": "viewer"}).text
        )
        with signed_in(page, "vera") as viewer, viewer.stream("GET", "/live") as stream:
            lines = stream.iter_lines()
            assert any("No runs yet" in line for line in lines)
            assert viewer.get("/people").status_code == 403
            admin.post("/people", data={"act": "role", "name": "vera", "role": "admin"})
            assert viewer.get("/people").status_code == 200
            admin.post("/people", data={"act": "remove", "name": "vera"})
            assert viewer.get("/").status_code == 303
            assert any("Sign in" in line for line in lines)
        assert stage.rows("select count(*) from sign_in where person = 'vera'") == [(0,)]
    assert stage.rows("select what, target from audit where who = 'ada' order by at") == [
        ("add person", "vera"), ("set role", "vera"), ("remove person", "vera"),
    ]  # fmt: skip


def test_the_cookie_says_nothing_and_ends(stage: Stage, page: str) -> None:
    have(stage, ada="admin")
    with signed_in(page, "ada") as client:
        token = client.cookies["callboard_session"]
        assert len(token) >= 43
        [(kept,)] = stage.rows("select encode(digest, 'escape') from sign_in")
        assert token not in kept
        with browser(page) as thief:
            thief.cookies["callboard_session"] = token[:-1] + ("a" if token[-1] != "a" else "b")
            assert thief.get("/").status_code == 303
        client.post("/sign-out")
        client.cookies["callboard_session"] = token
        assert client.get("/").status_code == 303
    with signed_in(page, "ada") as client:
        stage.clock.advance(stage.settings.sign_in_time + timedelta(seconds=1))
        assert client.get("/").status_code == 303
    with browser(page) as client:
        answer = client.post(
            "/sign-in", data={"name": "ada", "password": PASSWORD}, headers={"x-forwarded-proto": "https"}
        )
    flags = answer.headers["set-cookie"].lower()
    assert "httponly" in flags and "samesite=lax" in flags and "secure" in flags


def test_posts_from_another_page_are_refused(stage: Stage, page: str) -> None:
    stage.publish(LampLit(number=1))
    stage.drain()
    id, _ = only_run(stage)
    # Even where nobody signs in: a page from elsewhere can post to this machine.
    for origin in ("https://evil.example", "null", f"{page}.evil.example"):
        with browser(page) as client:
            for path in (f"/runs/{id}/cancel", "/sign-in", "/sign-out", "/resume", "/people", "/account"):
                answer = client.post(path, data={"x": "y"}, headers={"origin": origin})
                assert answer.status_code == 403, (path, origin)
    with httpx.Client(base_url=page) as client:
        assert client.post(f"/runs/{id}/cancel").status_code == 403
    assert only_run(stage) == (id, "waiting")
    with browser(page) as client:
        assert client.post(f"/runs/{id}/cancel").status_code == 303
    assert only_run(stage) == (id, "cancelled")


def test_guessing_waits_longer_each_time_and_names_are_not_told(stage: Stage, page: str) -> None:
    have(stage, ada="admin")
    with browser(page) as client:
        wrong = {"name": "ada", "password": "guess"}
        answers = [client.post("/sign-in", data=wrong) for _ in range(people.PATIENT)]
        assert {answer.status_code for answer in answers} == {401}
        nobody = client.post("/sign-in", data={"name": "eve", "password": "guess"})
        assert nobody.text.replace("eve", "ada") == answers[0].text
        answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        stage.clock.advance(timedelta(seconds=2))
        for expected in (401, 429):
            answer = client.post("/sign-in", data={"name": "ada", "password": "guess again"})
            assert answer.status_code == expected
        assert int(answer.headers["retry-after"]) == 2
        stage.clock.advance(people.LONGEST_WAIT)
        answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        assert answer.status_code == 303
    assert stage.rows("select failures from person") == [(0,)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"name=%00&password=%00", 401),
        (b"name=" + b"a" * 20_000, 413),
        (b"\xff\xfe", 400),
        (b"name", 400),
        (b"", 401),
        (b"name=%ff&password=x", 400),
        (b"name=ada&password=" + b"x" * 5000, 401),
    ],
)
def test_odd_forms_are_answered(stage: Stage, page: str, body: bytes, code: int) -> None:
    have(stage, ada="admin")
    with browser(page) as client:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/sign-in", content=body, headers=kind).status_code == code
        assert (
            client.post("/sign-in", content=body, headers={"content-type": "text/plain"}).status_code == 415
        )


@pytest.mark.parametrize("place", ["//evil.example", "https://evil.example", "/\\evil.example", "/\nx", ""])
def test_nobody_is_led_elsewhere_after_signing_in(stage: Stage, page: str, place: str) -> None:
    have(stage, ada="admin")
    with browser(page) as client:
        answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD, "next": place})
        assert answer.headers["location"] == "/"


def test_a_password_is_changed_by_who_knows_it(stage: Stage, page: str) -> None:
    have(stage, ada="admin")
    with signed_in(page, "ada") as client, signed_in(page, "ada") as elsewhere:
        form = {"password": "not the old one", "new": "a new long password"}
        answer = client.post("/account", data=form)
        assert answer.status_code == 400 and "this password" in answer.text
        answer = client.post("/account", data=form | {"password": PASSWORD, "new": "short"})
        assert answer.status_code == 400 and "12 to" in answer.text
        assert client.post("/account", data=form | {"password": PASSWORD}).headers["location"] == "/sign-in"
        assert [each.get("/").status_code for each in (client, elsewhere)] == [303, 303]
    with signed_in(page, "ada", "a new long password"):
        pass
    [(kept,)] = stage.rows("select password from person")
    assert kept.startswith("$argon2id$") and "password" not in kept


def test_two_admins_do_not_remove_each_other(stage: Stage) -> None:
    have(stage, ada="admin", bob="admin")
    with stage.database.once("test") as first, stage.database.once("test") as second:
        with first.transaction():
            people.remove(first, "ada", "bob")
            second.execute("set lock_timeout = '200ms'")
            with pytest.raises(Exception, match="lock timeout"):
                people.remove(second, "bob", "ada")
        with pytest.raises(CallboardError, match="the last admin"):
            people.remove(second, "bob", "ada")
        with pytest.raises(NotFoundError, match="nobody is named 'eve'"):
            people.remove(second, "eve", "bob")
        with pytest.raises(NotFoundError, match="nobody is named 'eve'"):
            people.set_role(second, "eve", "viewer", "bob")
        with pytest.raises(NotFoundError, match="nobody is named 'eve'"):
            people.set_password(second, "eve", PASSWORD, "bob")


def test_a_right_password_after_too_many_wrong_ones_has_to_wait(stage: Stage) -> None:
    have(stage, ada="admin")
    with stage.database.once("test") as connection:
        for _ in range(people.PATIENT):
            with pytest.raises(WrongPasswordError):
                people.sign_in(connection, "ada", "wrong", timedelta(hours=1))
        with pytest.raises(TooManyTriesError):
            people.sign_in(connection, "ada", PASSWORD, timedelta(hours=1))


def test_the_command_adds_the_first(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", stage.settings.database_url.get_secret_value())
    monkeypatch.setenv("CALLBOARD_NAMESPACE", stage.settings.namespace)
    call = CliRunner()
    assert "callboard people add NAME" in call.invoke(app, ["people"]).output
    made = call.invoke(app, ["people", "add", "ada", "--as", "admin", "--by", "root"])
    assert made.exit_code == 0, made.output
    password = made.stdout.strip()
    with serving(stage.settings) as address, signed_in(address.rstrip("/"), "ada", password):
        pass
    shown = call.invoke(app, ["people"]).output
    assert "ada" in shown and "admin" in shown and "root" in shown
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    renewed = call.invoke(app, ["people", "password", "ada", "--password-file", str(file)])
    assert renewed.exit_code == 0 and PASSWORD not in renewed.output
    with serving(stage.settings) as address, signed_in(address.rstrip("/"), "ada"):
        pass
    assert "last admin" in call.invoke(app, ["people", "remove", "ada", "--yes"]).output
    assert call.invoke(app, ["people", "role", "eve", "--as", "viewer"]).exit_code == 1
