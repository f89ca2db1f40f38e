"""What the pages domain keeps of batches: a row each, a row for each member, and no counter that a repeat could break."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from psycopg import Connection
from pydantic import BaseModel, HttpUrl, TypeAdapter, ValidationError

from schemas.pages import PageScanRequested, ProjectBatchScanRequested

_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)
_BATCH = """
insert into pages.batch (id, project_id, user_id, started_at) values (%s, %s, %s, clock()) on conflict (id) do nothing"""
# Whoever scans a page again has it pending until it is.
_PAGES = """
insert into pages.page (id, user_id, project_id, url, status, reason)
select id, %s, %s, url, case when reason is null then 'pending' else 'failed' end, reason
from unnest(%s::uuid[], %s::text[], %s::text[]) as p (id, url, reason) order by id
on conflict (id) do update set status = excluded.status, reason = excluded.reason"""
_MEMBERS = """
insert into pages.batch_page (batch_id, page_id, outcome)
select %s, id, case when reason is not null then 'failed' end from unnest(%s::uuid[], %s::text[]) as p (id, reason) order by id
on conflict (batch_id, page_id) do nothing"""

# A page that failed and was replayed well is completed; a failure that is told late changes nothing.
COMPLETE_MEMBER = """
update pages.batch_page set outcome = 'completed' where batch_id = %(batch_id)s and page_id = %(page_id)s"""
FAIL_MEMBER = """
update pages.batch_page set outcome = 'failed' where batch_id = %(batch_id)s and page_id = %(page_id)s and outcome is null"""

_COUNT = """
select b.project_id, b.user_id, count(*), count(*) filter (where m.outcome = 'completed'),
       count(*) filter (where m.outcome = 'failed'), b.finished_at is not null
from pages.batch b join pages.batch_page m on m.batch_id = b.id where b.id = %s group by b.id"""
_LOCK = "select from pages.batch where id = %s for update"
_FINISH = "update pages.batch set finished_at = clock() where id = %s and finished_at is null returning true"

# Members go with their batch.
ERASE = ("delete from pages.batch where user_id = %(person)s",)


class Member(BaseModel):
    """A page of a batch. `reason` says why it cannot be scanned at all."""

    page_id: UUID
    url: str
    reason: str | None = None


class Progress(BaseModel):
    """`finished` is true for the one who finds that all members are over; nobody else is told so."""

    project_id: UUID
    user_id: str
    total: int
    completed: int
    failed: int
    finished: bool = False

    @property
    def over(self) -> bool:
        return self.completed + self.failed == self.total


def insert_batch(db: Connection, id: UUID, event: ProjectBatchScanRequested) -> list[Member]:
    """A row for each address, before anything is sent. An address that is given twice is one page."""
    members = [_member(event.project_id, url) for url in dict.fromkeys(event.urls)]
    ids, reasons = [m.page_id for m in members], [m.reason for m in members]
    db.execute(_BATCH, (id, event.project_id, event.user_id))
    db.execute(_PAGES, (event.user_id, event.project_id, ids, [m.url for m in members], reasons))
    db.execute(_MEMBERS, (id, ids, reasons))
    return members


def count_batch(db: Connection, id: UUID) -> Progress:
    """How far it is, and whether it has just ended: only one of those who count at the same time finds that."""
    db.execute(_LOCK, (id,))
    row = db.execute(_COUNT, (id,)).fetchone()
    assert row is not None  # a batch has members, which are written with it
    project_id, user_id, total, completed, failed, _ = row
    progress = Progress(
        project_id=project_id, user_id=user_id, total=total, completed=completed, failed=failed
    )
    if progress.over:
        progress.finished = db.execute(_FINISH, (id,)).fetchone() is not None
    return progress


def members_to_scan(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.reason is None]


def page_of(project_id: UUID, url: str) -> UUID:
    """The page's id follows from project and address: scanned again, it is the same page."""
    return uuid5(project_id, url)


def insert_page(db: Connection, project_id: UUID, wanted: PageScanRequested) -> None:
    """A row for a page by itself, pending until it is scanned."""
    db.execute(_PAGES, (wanted.user_id, project_id, [wanted.page_id], [str(wanted.url)], [None]))


def _member(project_id: UUID, url: str) -> Member:
    page_id = page_of(project_id, url)
    try:
        _URL.validate_python(url)
    except ValidationError:
        return Member(page_id=page_id, url=url, reason="it is no web address")
    return Member(page_id=page_id, url=url)
