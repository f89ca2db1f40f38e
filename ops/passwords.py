"""Passwords that commands give out: from a file, or by chance."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from broker import CallboardError

PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="Its password, instead of one by chance.")
]


def password_of(file: Path | None) -> str:
    """The file's, or one by chance. Raises CallboardError for a file that holds none."""
    if file is None:
        return secrets.token_urlsafe(24)
    try:
        password = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallboardError(f"{file} cannot be read: {type(error).__name__}") from None
    if not password:
        raise CallboardError(f"{file} is empty: write the password into it")
    return password
