"""From the facts of a page to recommendations: what an analyser is, and the built-in one."""

from dataclasses import dataclass
from typing import Protocol

from actors.pages.facts import PageFacts
from actors.pages.recommendation import Recommendation
from actors.pages.rules import RULES, Rule

_ORDER = ("high", "medium", "low")


class Analyser(Protocol):
    """Anything that can say how to improve a page."""

    def analyse(self, prompt: str, facts: PageFacts) -> list[Recommendation]:
        """Return recommendations, no key twice, the most important first; raises AnalyserError.

        `prompt` is the interpolated template.
        """
        ...


@dataclass(frozen=True)
class RuleAnalyser:
    """Applies the rules of a well-made page; it follows no prompt, and the same facts give the same list."""

    rules: tuple[Rule, ...] = RULES

    def analyse(self, prompt: str, facts: PageFacts) -> list[Recommendation]:
        found = [advice for rule in self.rules for advice in rule(facts)]
        return sorted(found, key=lambda advice: _ORDER.index(advice.priority))
