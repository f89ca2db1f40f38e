"""What a domain writes down about a run, for those who ask why something is as it is."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.sql import SQL, Identifier


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What stands in it about one run; columns that are null are left out."""

    table: str
    status: str
    columns: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ledger:
    """A domain's table with one row for each run of its actors, which `callboard why` names:

        LEDGER = Ledger("emails", "email_log", columns=("provider", "error"))

    The run stands in its column `run_id`, how that went in `status`. `columns` are shown as they are: none may hold what is
    secret or personal. Declare it in a module of `actors/<domain>`.
    """

    domain: str
    table: str
    columns: tuple[str, ...]

    def row_of(self, connection: Connection, run_id: UUID) -> LedgerRow | None:
        """Reads one row, by `run_id`. Raises psycopg errors."""
        names = SQL(", ").join(map(Identifier, ("status", *self.columns)))
        statement = SQL("select {} from {} where run_id = %s").format(
            names, Identifier(self.domain, self.table)
        )
        row = connection.execute(statement, (run_id,)).fetchone()
        if row is None:
            return None
        told = {name: value for name, value in zip(self.columns, row[1:], strict=True) if value is not None}
        return LedgerRow(f"{self.domain}.{self.table}", str(row[0]), told)
