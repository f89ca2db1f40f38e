"""Who fetches and who analyses, chosen by the settings when first needed. Importing this builds nothing."""

from functools import cache

from actors.pages.analyser import Analyser, RuleAnalyser
from actors.pages.model_analyser import ModelAnalyser
from actors.pages.settings import PagesSettings
from broker.fetching.fetcher import Fetcher, FetchLimits, HttpFetcher


@cache
def settings() -> PagesSettings:
    """Read once a process; raises ConfigurationError for a setting that makes no sense."""
    return PagesSettings.load()


@cache
def fetcher() -> Fetcher:
    """The one fetcher of the process."""
    wanted = settings()
    return HttpFetcher(wanted.allowed_hosts, FetchLimits(max_bytes=wanted.max_bytes, time=wanted.fetch_time))


@cache
def analyser() -> Analyser:
    """A model where one is configured, else the built-in rules."""
    wanted = settings()
    if not wanted.model_url:
        return RuleAnalyser()
    return ModelAnalyser(wanted.model_url, wanted.model_key, wanted.model_name, wanted.model_time)


def forget() -> None:
    """Choose again at the next use: for tests that change the settings."""
    for choice in (settings, fetcher, analyser):
        choice.cache_clear()
