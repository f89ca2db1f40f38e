"""One piece of advice about a page."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Priority = Literal["high", "medium", "low"]
Category = Literal["metadata", "content", "accessibility", "technical", "mobile", "links", "sharing"]


class Recommendation(BaseModel):
    """What to change, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)
    """What it is about, the same in each analysis of the page: a page holds one of each key."""
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(min_length=1, max_length=2_000)
    priority: Priority
    category: str = Field(min_length=1, max_length=50)
    """One of Category from the built-in rules; a model may use words of its own."""
