"""The ratios as a picture: one bar a scenario, plain Dramatiq as the line at 1."""

from collections.abc import Sequence
from html import escape

from ops.bench.programme import Comparison

WIDTH, ROW, LEFT, TOP = 640, 44, 130, 56
_TERMS = "one worker process each, quorum queues, confirms, durable rows; median and spread"
_STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328 }
  .quiet { fill: #656d76; font-size: 12px }
  .bar { fill: #1f6feb } .spread { stroke: #1f2328; stroke-width: 1.5 } .one { stroke: #656d76; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #8d96a0 } .bar { fill: #58a6ff } .spread { stroke: #e6edf3 }
  }"""


def draw(comparisons: Sequence[Comparison]) -> str:
    """An SVG of its own: no script, no font, light and dark."""
    widest = max([1.0, *(found.ratios[-1] for found in comparisons)])
    unit = (WIDTH - LEFT - 90) / widest
    height = TOP + ROW * len(comparisons) + 20
    one = LEFT + unit
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>Events a second, Callboard to plain Dramatiq</title>",
            f"<style>{_STYLE}</style>",
            '<text x="12" y="24">Throughput, as a multiple of plain Dramatiq</text>',
            f'<text class="quiet" x="12" y="42">{_TERMS}</text>',
            *(_bar(found, TOP + ROW * place, unit) for place, found in enumerate(comparisons)),
            f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{TOP}" y2="{height - 16}"/>',
            "</svg>",
            "",
        ]
    )


def _bar(found: Comparison, y: float, unit: float) -> str:
    low, high, middle = found.ratios[0], found.ratios[-1], y + 14
    return (
        f'<text x="12" y="{y + 19}">{escape(found.scenario)}</text>'
        f'<rect class="bar" x="{LEFT}" y="{y + 2}" width="{found.ratio * unit:.1f}" height="24" rx="3"/>'
        f'<line class="spread" x1="{LEFT + low * unit:.1f}" x2="{LEFT + high * unit:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<text x="{LEFT + high * unit + 10:.1f}" y="{y + 19}">{found.ratio:.2f} &#215;</text>'
    )
