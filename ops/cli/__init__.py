"""The command line: one file a command, tables where people look, `--json` where scripts look."""

from ops.cli.app import app, main

__all__ = ["app", "main"]
