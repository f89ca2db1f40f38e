"""What a private RabbitMQ node is told before it starts: its files, its environment, and who its peers are."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

USER = "callboard"
ALONE = "callboard@localhost"


@dataclass(frozen=True)
class Membership:
    """A node's place in a cluster. `peers` are the names of all its nodes; the rest is the same for each of them."""

    name: str
    peers: tuple[str, ...]
    epmd_port: int
    cookie: str
    password: str


@dataclass(frozen=True)
class NodeSetup:
    """One node on one directory; `write` before each start."""

    directory: Path
    notices: Path
    port: int
    management_port: int | None
    distribution_port: int
    epmd_port: int
    membership: Membership | None = None
    more: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    """Lines of its configuration beside ours."""

    @property
    def name(self) -> str:
        return self.membership.name if self.membership else ALONE

    @property
    def password_file(self) -> Path:
        return self.directory / "password"

    def write(self) -> None:
        """May be repeated: secrets are written once."""
        for name in ("mnesia", "log", "home", "etc"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        shared = self.membership
        _write_once(self.directory / "home" / ".erlang.cookie", shared.cookie if shared else None)
        _write_once(self.password_file, shared.password if shared else None)
        plugins = "[rabbitmq_management]." if self.management_port else "[]."
        (self.directory / "etc" / "enabled_plugins").write_text(f"{plugins}\n")
        lines = [f"{name} = {value}" for name, value in self._configuration().items()]
        configuration = self.directory / "etc" / "rabbitmq.conf"
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join([*lines, ""]))

    def environment(self) -> dict[str, str]:
        """Of the node, and of the tools that talk to it."""
        here = self.directory
        # No epmd of their own making: it would listen on the default port and outlive them.
        both = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
        # A node alone is found by its one port; peers, and tools that all of them answer, by asking epmd.
        if self.membership is None:
            both += f" -erl_epmd_port {self.distribution_port}"
        return {
            "LANG": "C.UTF-8",
            "HOME": str(here / "home"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "etc" / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(here / "etc" / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "etc" / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(here / "etc" / "none.conf"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "etc" / "generated"),
            # One scheduler saves a second of CPU at each start, and our loads need no second.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 1:1 {both}",
            # Beside a node alone a tool that listened too would want the node's port.
            "RABBITMQ_CTL_ERL_ARGS": both if self.membership else f"{both} -dist_listen false",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            # Makes the start script exec the emulator, so that our pid is the node's, and report when ready.
            "RUNNING_UNDER_SYSTEMD": "true",
            "NOTIFY_SOCKET": str(self.notices),
        }

    def _configuration(self) -> Mapping[str, str | int]:
        management: Mapping[str, str | int] = (
            {"management.tcp.ip": "127.0.0.1", "management.tcp.port": self.management_port}
            if self.management_port
            else {}
        )
        return {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": USER,
            "default_pass": self.password_file.read_text(),
            "log.console": "false",
            # The defaults are shares of the whole machine, which belongs to others too.
            "disk_free_limit.absolute": "50MB",
            "vm_memory_high_watermark.absolute": "512MiB",
            **management,
            **self.more,
            **(_cluster_configuration(self.membership.peers) if self.membership else {}),
        }


def _cluster_configuration(peers: tuple[str, ...]) -> Mapping[str, str | int]:
    nodes = {
        f"cluster_formation.classic_config.nodes.{number}": peer for number, peer in enumerate(peers, start=1)
    }
    return {
        "cluster_formation.peer_discovery_backend": "classic_config",
        **nodes,
        # A node that sees no majority stops serving, and its clients go to one that does.
        "cluster_partition_handling": "pause_minority",
        # Whoever declares first would otherwise lead all queues on the node it happens to be connected to.
        "queue_leader_locator": "balanced",
    }


def _write_once(file: Path, text: str | None) -> None:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(text or secrets.token_hex(20))
        file.chmod(0o400)
