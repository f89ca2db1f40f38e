"""Pipelines as a picture: each a column of its actors, with the events that lead from one to the next."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape

from broker import Pipeline

COLUMN, BOX, GAP, TOP = 300, 44, 52, 104
"""Pixels; a box is as wide as the longest name needs at 14 px, and no narrower than COLUMN."""
_LETTER = 8.6
_STYLE = """
  text { font: 14px system-ui, sans-serif; text-anchor: middle; fill: #1f2328 }
  .name { font-weight: 600 } .event { font-size: 12px; fill: #656d76 } .actor text { fill: #ffffff }
  .actor rect { fill: #047857 } .link { stroke: #7d8590; stroke-width: 2 } .tip { fill: #7d8590 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .event { fill: #9aa4ae } }"""


def draw(pipelines: Sequence[Pipeline]) -> str:
    """An SVG of its own: no script, no font, light and dark."""
    widths = [_width(pipeline) for pipeline in pipelines]
    height = TOP + max((len(p.actors) for p in pipelines), default=0) * (BOX + GAP) - GAP + 24
    lefts = [sum(widths[:place]) for place in range(len(widths))]
    size = f'width="{sum(widths)}" height="{height}" viewBox="0 0 {sum(widths)} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(', '.join(p.name for p in pipelines))}</title>",
            f"<style>{_STYLE}</style>",
            *(_column(p, left, width) for p, left, width in zip(pipelines, lefts, widths, strict=True)),
            "</svg>",
        ]
    )


def _column(pipeline: Pipeline, left: int, width: int) -> str:
    middle = left + width / 2
    heard = {pipeline.actors[0].name: " / ".join(kind.event_type for kind in pipeline.actors[0].hears)}
    links: dict[str, list[str]] = defaultdict(list)
    for _, type_, later in pipeline.links():
        links[later.name].append(type_)
    heard |= {name: " / ".join(types) for name, types in links.items()}
    parts = [f'<text class="name" x="{middle}" y="30">{escape(pipeline.name)}</text>']
    for place, actor in enumerate(pipeline.actors):
        top = TOP + place * (BOX + GAP)
        parts.append(_link(middle, top, heard[actor.name]))
        parts.append(
            f'<g class="actor"><rect x="{left + 20}" y="{top}" width="{width - 40}" height="{BOX}" rx="8"/>'
            f'<text x="{middle}" y="{top + BOX / 2 + 5}">{escape(actor.name)}</text></g>'
        )
    return "\n".join(parts)


def _link(middle: float, bottom: int, event: str) -> str:
    top = bottom - GAP
    return (
        f'<line class="link" x1="{middle}" x2="{middle}" y1="{top + 26}" y2="{bottom - 8}"/>'
        f'<path class="tip" d="M{middle - 5} {bottom - 9}h10l-5 8z"/>'
        f'<text class="event" x="{middle}" y="{top + 19}">{escape(event)}</text>'
    )


def _width(pipeline: Pipeline) -> int:
    texts = [actor.name for actor in pipeline.actors] + [type_ for _, type_, _ in pipeline.links()]
    texts.append(" / ".join(kind.event_type for kind in pipeline.actors[0].hears))
    return max(COLUMN, round(max(map(len, texts)) * _LETTER) + 60)
