"""From the pages of a project to how many of them were scanned. What becomes of each page is `page-scan`."""

from actors.pages.scan import scan
from actors.pages.scan_project import scan_project
from actors.pages.track import track
from broker import Pipeline

project_scan = Pipeline("project-scan", scan_project | scan)
batch_progress = Pipeline("batch-progress", track)
