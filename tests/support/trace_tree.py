"""One trace as a tree, for tests that say what it must look like."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.otlp import ReceivedSpan


@dataclass(frozen=True)
class TraceTree:
    """All received spans. AssertionError unless they are one trace, with one root to which every span leads."""

    spans: Sequence[ReceivedSpan]

    def __post_init__(self) -> None:
        assert len({span.trace_id for span in self.spans}) == 1, sorted(
            (span.trace_id, span.name) for span in self.spans
        )
        assert len(self.roots) == 1, [span.name for span in self.roots]
        for span in self.spans:
            self.line(span)

    @property
    def by_id(self) -> dict[str, ReceivedSpan]:
        return {span.span_id: span for span in self.spans}

    @property
    def roots(self) -> list[ReceivedSpan]:
        return [span for span in self.spans if not span.parent_id]

    @property
    def names(self) -> Counter[str]:
        return Counter(span.name for span in self.spans)

    def named(self, prefix: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name.startswith(prefix)]

    def parent(self, span: ReceivedSpan) -> ReceivedSpan | None:
        return self.by_id.get(span.parent_id)

    def line(self, span: ReceivedSpan) -> list[str]:
        """The names from the span up to the root. AssertionError where a parent is missing or a ring is closed."""
        names, at = [span.name], span
        while at.parent_id:
            found = self.parent(at)
            assert found is not None, f"{at.name!r} has a parent that never arrived"
            assert len(names) < len(self.spans), f"{span.name!r} is in a ring"
            names.append(found.name)
            at = found
        return names
