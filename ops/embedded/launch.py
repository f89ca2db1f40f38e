"""What a process does to itself before it becomes a server: `launch.py IDENTITY SIGNAL PARENT COMMAND…`.

A program of its own, run by path with `python -I -S`, and not a `preexec_fn`: Python code between fork and
exec deadlocks when another thread holds a lock at the fork. Here the process is new and has one thread, which
is also what `unshare` of a user namespace asks for.
"""

import ctypes
import os
import pwd
import sys
from pathlib import Path

NAMESPACE_REFUSED = 97
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def enter_user_namespace() -> None:
    """Be `nobody` to ourselves and root to the file system: PostgreSQL refuses uid 0 but needs root's files.

    `nobody` because initdb looks the name of its user up, and an unmapped uid has none.
    """
    nobody = pwd.getpwnam("nobody")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare of a user namespace was refused")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{nobody.pw_uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{nobody.pw_gid} 0 1")


def become_nobody() -> None:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def die_with_parent(signal_number: int, parent: int) -> None:
    """Linux only; elsewhere the next start finds the orphan and ends it.

    After the change of credentials, which clears the setting. A parent that died before this call sends no
    signal any more, hence the second look.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        raise SystemExit("the starting process is gone")


def main(arguments: list[str]) -> None:
    identity, signal_number, parent, *command = arguments
    if identity == "namespace":
        try:
            enter_user_namespace()
        except OSError:
            raise SystemExit(NAMESPACE_REFUSED) from None
    elif identity == "nobody":
        become_nobody()
    if int(signal_number):
        die_with_parent(int(signal_number), int(parent))
    os.execv(command[0], command)  # noqa: S606 -- the whole point: the pid stays, the program changes


if __name__ == "__main__":
    main(sys.argv[1:])
