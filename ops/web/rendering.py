"""Pages from templates, under a content policy that lets nothing in from elsewhere."""

from collections.abc import Mapping
from pathlib import Path

from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from ops.cli.runs import note_of
from ops.cli.screen import ago, clock, took

ROOM = Path(__file__).parent
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


class Renderer:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._templates = Jinja2Templates(directory=ROOM / "templates")
        self._templates.env.filters.update(took=took, clock=clock, note=note_of, ago=ago)
        self._templates.env.trim_blocks = self._templates.env.lstrip_blocks = True

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """Text is escaped."""
        return self._templates.get_template(template).render(values)

    def page(self, template: str, values: Mapping[str, object], code: int = 200) -> Response:
        return Response(self.render(template, values), code, HEADERS, "text/html")


def moved(place: str) -> RedirectResponse:
    """The answer to a post that did it: look there. Loading the page again does nothing again."""
    return RedirectResponse(place, 303, HEADERS)
