"""`callboard setup`: users and roles that may do what they need and nothing else."""

from typing import Annotated, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import typer

from broker import CallboardError, ConfigurationError
from ops.access import postgres as access
from ops.access.rabbitmq import Account, Management, Rights, managed, rights_of, vhost_of
from ops.boot import make_broker
from ops.cli.screen import console, facts
from ops.cli.session import connected, loaded, settings_of_command
from ops.passwords import PasswordFile, password_of

app = typer.Typer(no_args_is_help=True, help="Users and roles, each with what it needs and nothing else.")

Rotate = Annotated[bool, typer.Option("--rotate", help="Give it a new password.")]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would change, and do nothing.")]


@app.callback()
def setup() -> None:
    pass


@app.command()
def rabbitmq(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the user.")],
    role: Annotated[Literal["worker", "publisher"], typer.Option("--as", help="What it is for.")],
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", help="An event type that a publisher may publish; * is any text."),
    ] = None,
    rotate: Rotate = False,
    password_file: PasswordFile = None,
    plan: Plan = False,
) -> None:
    """Make a user of RabbitMQ, or give one the rights of its role. May be repeated.

    A password by chance is printed once, in the address to use. Needs CALLBOARD_RABBITMQ_API, the address of the management
    plugin with an administrator's name and password.
    """
    if (role == "publisher") != bool(types):
        raise CallboardError(
            "say with --type what it may publish" if role == "publisher" else "--type is for publishers"
        )
    settings = settings_of_command()
    url = next(iter(settings.broker_urls), "")
    if not url:
        raise ConfigurationError(
            "CALLBOARD_BROKER_URL is not set: the `postgres` transport has no users of RabbitMQ"
        )
    topology = make_broker(loaded(settings), settings).topology()
    wanted = rights_of(role, topology, types or ())
    with managed(settings.rabbitmq_api.get_secret_value(), vhost_of(url)) as api:
        found = _found(api, name, topology.events)
        if found is not None and "administrator" in found.tags:
            raise CallboardError(f"{name} is an administrator, whom no rights bind: give another name")
        out = console()
        fresh = found is None or rotate or password_file is not None
        out.print(facts(_told(found, wanted, fresh=fresh)))
        if plan:
            return
        if fresh:
            password = password_of(password_file)
            api.set_password(name, password)
            if password_file is None:
                out.print(_address(url, name, password), soft_wrap=True)
        api.grant(name, wanted, topology.events)
    out.print(f"{name} may do what a {role} does", style="green")


@app.command()
def postgres(
    login: Annotated[
        str | None,
        typer.Argument(metavar="[LOGIN]", help="A login to make, a member of the role that --as names."),
    ] = None,
    role: Annotated[
        Literal["worker", "web", "service", "publisher", "reader"] | None,
        typer.Option("--as", help="What the login is for."),
    ] = None,
    rotate: Rotate = False,
    password_file: PasswordFile = None,
    plan: Plan = False,
) -> None:
    """Give the group roles of this namespace their rights, and make a login that is a member of one. May be repeated.

    Call it as the owner of the tables, who may make roles. `callboard migrate` gives the rights again to roles that are there.
    A password by chance is printed once.
    """
    if (login is None) != (role is None):
        raise CallboardError("say LOGIN and --as together: who it is, and what it is for")
    if login is None and (rotate or password_file is not None):
        raise CallboardError("say LOGIN and --as: whose password it is to be")
    settings = settings_of_command()
    domains = [name for name, _ in loaded(settings).domains]
    namespace = settings.namespace
    with connected(settings) as connection:
        new = access.missing(connection, namespace)
        fresh = login is not None and (
            rotate or password_file is not None or not access.has_login(connection, login)
        )
        out = console()
        out.print(
            facts(
                [
                    ("roles", ", ".join(access.name_of(each, namespace) for each in access.ROLES)),
                    ("new", ", ".join(new) or "none"),
                    ("schemas", ", ".join([namespace, *domains])),
                    (
                        "login",
                        f"{login}, a member of {access.name_of(role, namespace)}" if login and role else None,
                    ),
                    ("password", ("new" if fresh else "as it is") if login else None),
                ]
            )
        )
        if plan:
            return
        access.apply(connection, namespace, domains)
        if login is not None and role is not None:
            password = password_of(password_file) if fresh else None
            access.add_login(connection, login, role, namespace, domains, password)
            if password is not None and password_file is None:
                out.print(f"password of {login}: {password}", soft_wrap=True)
    out.print("granted", style="green")


def _found(api: Management, name: str, exchange: str) -> Account | None:
    try:
        return api.account(name, exchange)
    except KeyError:
        return None


def _told(found: Account | None, wanted: Rights, *, fresh: bool) -> list[tuple[str, str | None]]:
    has = (found.rights if found is not None else None) or Rights("", "", "", "")

    def change(before: str | None, after: str | None) -> str:
        shown = after if after is not None else "any"
        return (
            shown
            if before == after
            else f"{shown}  (was {before or ('nothing' if before is not None else 'any')})"
        )

    return [
        ("user", "new" if found is None else "there"),
        ("password", "new" if fresh else "as it is"),
        ("declares", change(has.configure, wanted.configure)),
        ("writes to", change(has.write, wanted.write)),
        ("reads from", change(has.read, wanted.read)),
        ("event types", change(has.topics, wanted.topics)),
    ]


def _address(url: str, name: str, password: str) -> str:
    """Without our own certificate, which is not theirs."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] not in ("certfile", "keyfile")])
    parts = parts._replace(query=query)
    return parts._replace(netloc=f"{quote(name, safe='')}:{password}@{place}").geturl()
