"""What the pages domain keeps: pages, the prompt that is active, recommendations.

Statements run with the engine's schema in the search path, where `clock()` is; our tables are named with theirs.
"""

import json
from collections.abc import Sequence
from uuid import UUID, uuid5

from psycopg import Connection

from actors.pages.recommendation import Recommendation
from broker import NonRetriable
from schemas.pages import PageScanRequested, ScannedPage

# An upsert, because a request may name a page that nobody inserted. The page stays its first owner's.
SAVE_PAGE = """
insert into pages.page
    (id, user_id, url, status, reason, html_length, title, meta_description, meta_keywords, canonical, robots,
     headings, images, links, scanned_at)
values
    (%(id)s, %(user_id)s, %(url)s, 'completed', null, %(html_length)s, %(title)s, %(meta_description)s, %(meta_keywords)s,
     %(canonical)s, %(robots)s, %(headings)s::jsonb, %(images)s::jsonb, %(links)s::jsonb, clock())
on conflict (id) do update
set url = excluded.url, status = excluded.status, reason = excluded.reason, html_length = excluded.html_length,
    title = excluded.title, meta_description = excluded.meta_description, meta_keywords = excluded.meta_keywords,
    canonical = excluded.canonical, robots = excluded.robots, headings = excluded.headings, images = excluded.images,
    links = excluded.links, scanned_at = excluded.scanned_at"""

# A failure may be told after the dead letter was replayed and went well: then it is old news.
FAIL_SCAN = """
insert into pages.page (id, user_id, url, status, reason)
values (%(id)s, %(user_id)s, %(url)s, 'failed', %(reason)s)
on conflict (id) do update set status = excluded.status, reason = excluded.reason
where page.scanned_at is null or page.scanned_at < %(failed_at)s"""

# An analysis can be asked for by somebody who scans pages elsewhere.
KNOW_PAGE = """
insert into pages.page (id, user_id, url, status) values (%(id)s, %(user_id)s, %(url)s, 'completed')
on conflict (id) do nothing"""

# Advice that is no longer given goes. Rows are locked in the order of their ids: two analyses of a page do not deadlock.
SAVE_RECOMMENDATIONS = """
with found as (
    select id, key, title, description, priority, category
    from jsonb_to_recordset(%(found)s -> 'items')
        as item (id uuid, key text, title text, description text, priority text, category text)
), gone as (
    delete from pages.recommendation where page_id = %(page_id)s and id not in (select id from found)
)
insert into pages.recommendation (id, page_id, key, title, description, priority, category)
select id, %(page_id)s, key, title, description, priority, category from found order by id
on conflict (id) do update
set title = excluded.title, description = excluded.description, priority = excluded.priority, category = excluded.category"""

# Recommendations go with their page.
ERASE = ("delete from pages.page where user_id = %(person)s",)

_ACTIVE_PROMPT = "select content from pages.prompt_template where active"


def scan_values(event: PageScanRequested, page: ScannedPage) -> dict[str, object]:
    """The parameters of SAVE_PAGE."""
    told = page.model_dump(
        mode="json",
        include={"html_length", "title", "meta_description", "meta_keywords", "canonical", "robots"},
    )
    lists = {
        name: json.dumps(items)
        for name, items in page.model_dump(mode="json", include={"headings", "images", "links"}).items()
    }
    return {"id": event.page_id, "user_id": event.user_id, "url": str(event.url), **told, **lists}


def recommendation_id(page_id: UUID, key: str) -> UUID:
    """The same for every analysis of the page."""
    return uuid5(page_id, key)


def recommendation_values(page_id: UUID, found: Sequence[Recommendation]) -> dict[str, object]:
    """The parameters of SAVE_RECOMMENDATIONS."""
    items = [{"id": str(recommendation_id(page_id, advice.key)), **advice.model_dump()} for advice in found]
    return {"page_id": page_id, "found": {"items": items}}


def fetch_prompt(db: Connection) -> str:
    """The content of the active template. Raises NonRetriable when there is none."""
    row = db.execute(_ACTIVE_PROMPT).fetchone()
    if row is None:
        raise NonRetriable("no row of pages.prompt_template is active: activate one, then replay this event")
    return str(row[0])
