"""From the request to scan a page to the words on its user's screen."""

from actors.notifications.notify import notify
from actors.pages.analyze import analyze
from actors.pages.scan import scan
from broker import Pipeline

page_scan = Pipeline("page-scan", scan | analyze | notify)
