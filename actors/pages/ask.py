"""Ask for a scan from an application: the page's row and its event in one transaction, so that none is there without the other.

asked = ask_for_scan(database, publisher, project_id, "ada", "https://example.com/")
asked.page_id if asked.success else asked.error

`ops/demo_site/scan_route.py` is the same as an HTTP route.
"""

from uuid import UUID

import psycopg
import structlog
from pydantic import BaseModel, ValidationError

from actors.pages import batch_store as store
from broker import CallboardError, Publisher
from broker.database import Database
from schemas.pages import PageScanRequested

NO_ADDRESS = "that is no web address"
NOT_QUEUED = "the scan could not be queued: try again"

log = structlog.get_logger(__name__)


class ScanAsked(BaseModel):
    """What the caller tells its user: the page, or why there is no scan."""

    success: bool
    page_id: UUID | None = None
    error: str | None = None


def ask_for_scan(
    database: Database, publisher: Publisher, project_id: UUID, user_id: str, url: str
) -> ScanAsked:
    """One commit. Asked again, it is the same page and another scan. What servers or addresses do wrong is told, not raised; that
    the user may see this project is the caller's to know."""
    page_id = store.page_of(project_id, url)
    try:
        wanted = PageScanRequested.model_validate({"page_id": page_id, "url": url, "user_id": user_id})
    except ValidationError:
        return ScanAsked(success=False, error=NO_ADDRESS)
    try:
        with database.once("web") as connection, connection.transaction():
            store.insert_page(connection, project_id, wanted)
            publisher.publish(wanted, connection=connection)
    except (psycopg.Error, CallboardError) as error:
        log.warning("scan_not_queued", page=str(page_id), kind=type(error).__name__)
        return ScanAsked(success=False, error=NOT_QUEUED)
    return ScanAsked(success=True, page_id=page_id)
