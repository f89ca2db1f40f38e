"""Where RabbitMQ comes from: the system's, or Debian's packages unpacked into `.cache/rabbitmq`.

Unpacked and not installed: that would need root and leave a service that starts at boot on port 5672.
`python -m ops.embedded.rabbitmq_install` does nothing where RabbitMQ is found, else unpacks it (10 s, 34 MB).
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ops.embedded.process import BinariesMissingError, EmbeddedError

CACHE = Path(__file__).parents[2] / ".cache" / "rabbitmq"
SERVERS = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"
MISSING = (
    "no RabbitMQ found: run `python -m ops.embedded.rabbitmq_install` (Debian and Ubuntu, no root needed),"
    " install the package rabbitmq-server, or name a server in {variable}"
)


@dataclass(frozen=True)
class RabbitInstall:
    """A tree that holds `usr/lib/rabbitmq` and `usr/lib/erlang`: `/`, or where packages were unpacked."""

    root: Path
    server: str

    @property
    def control(self) -> str:
        """`rabbitmqctl`, without the wrapper that insists on root."""
        return str(Path(self.server).with_name("rabbitmqctl"))

    @property
    def epmd(self) -> str:
        """Raises BinariesMissingError."""
        for pattern in ("usr/bin/epmd", "usr/lib/erlang/erts-*/bin/epmd", "usr/lib/erlang/bin/epmd"):
            for found in self.root.glob(pattern):
                return str(found)
        raise BinariesMissingError(f"{self.root} holds RabbitMQ but no Erlang: install erlang-base")

    def environment(self) -> dict[str, str]:
        """What makes programs of this tree find each other."""
        search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        if self.root == Path("/"):
            return {"PATH": search}
        libraries = ":".join(str(folder) for folder in self.root.glob("usr/lib/*-linux-*"))
        erlang = self.root / "usr/lib/erlang/bin"
        return {"PATH": f"{erlang}:{self.root / 'usr/bin'}:{search}", "LD_LIBRARY_PATH": libraries}


def find_rabbitmq() -> RabbitInstall:
    """CALLBOARD_RABBITMQ_ROOT, else the unpacked, else the system's. Raises BinariesMissingError."""
    named = os.environ.get("CALLBOARD_RABBITMQ_ROOT")
    # Not /usr/sbin/rabbitmq-server: that one insists on root or on the user rabbitmq.
    for root in [Path(named)] if named else [CACHE, Path("/")]:
        for server in sorted(root.glob(SERVERS), reverse=True):
            return RabbitInstall(root, str(server))
    raise BinariesMissingError(MISSING.format(variable="CALLBOARD_BROKER_URL"))


def unpack_debian(target: Path) -> None:
    """Fetch rabbitmq-server and what it needs beyond this system's packages, and unpack all into `target`.

    May be repeated; an interrupted one leaves nothing that looks complete. Raises EmbeddedError.
    """
    work = target.with_name(f"{target.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    for name in ("lists/partial", "archives/partial", "tree"):
        (work / name).mkdir(parents=True)
    apt = ["apt-get", "-qq", *apt_options(work)]
    run([*apt, "update"])
    run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", "rabbitmq-server"])
    for package in sorted((work / "archives").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(work / "tree")])
    make_movable(work / "tree" / "usr/lib/erlang/bin/erl")
    shutil.rmtree(target, ignore_errors=True)
    (work / "tree").rename(target)
    shutil.rmtree(work)


def apt_options(work: Path) -> list[str]:
    """Lists, archives and locks of our own: images come without lists, and theirs need root."""
    options = {
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work,
        "Dir::Cache::archives": work / "archives",
        "Debug::NoLocking": "1",
        # Its download user could not enter the cache of root.
        "APT::Sandbox::User": "",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def make_movable(erl: Path) -> None:
    """Debian's erl has its directory written in and ignores ERL_ROOTDIR."""
    fixed = "ROOTDIR=/usr/lib/erlang\n"
    text = erl.read_text()
    if fixed not in text:
        raise EmbeddedError(
            f"{erl} is not as expected (no line {fixed.strip()}): install rabbitmq-server instead"
        )
    erl.write_text(text.replace(fixed, 'ROOTDIR="$(cd "$(dirname "$0")/.." && pwd)"\n'))


def run(command: list[str]) -> None:
    """Quietly; raises EmbeddedError with what the program said."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise EmbeddedError(f"`{' '.join(command)}` ended with status {done.returncode}:\n{said}")


def main() -> None:
    """Unless CALLBOARD_TEST_AMQP_URL names a server, which needs none here."""
    if os.environ.get("CALLBOARD_TEST_AMQP_URL"):
        return
    try:
        find_rabbitmq()
    except BinariesMissingError:
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            sys.exit(MISSING.format(variable="CALLBOARD_TEST_AMQP_URL"))
        print(f"unpacking RabbitMQ into {CACHE} (once, 34 MB)", file=sys.stderr)
        try:
            unpack_debian(CACHE)
        except EmbeddedError as error:
            sys.exit(f"{error}\n{MISSING.format(variable='CALLBOARD_TEST_AMQP_URL')}")


if __name__ == "__main__":
    main()
