"""The supervisor of `callboard dev`, as a program: imported ahead of time, started by a line on its standard input.

It imports none of the author's code, so it is never out of date; its processes do when they start.
"""

import sys

from broker import load_settings
from ops.reach import configure_logs
from ops.supervisor import Supervisor


def main() -> int:
    """The one argument is the number of worker processes."""
    if not sys.stdin.readline():
        return 0
    settings = load_settings()
    configure_logs(settings)
    supervisor = Supervisor(
        int(sys.argv[1]),
        settings.threads,
        grace=settings.grace,
        on_ready=lambda: print("ready", flush=True),
        say=lambda text: print(text, flush=True),
    )
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
