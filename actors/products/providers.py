"""Who fetches, chosen by the settings when first needed. Importing this builds nothing."""

from functools import cache

from actors.products.settings import ProductsSettings
from broker.fetching import Fetcher, FetchLimits, HttpFetcher


@cache
def fetcher() -> Fetcher:
    """The one fetcher of the process. Raises ConfigurationError for a setting that makes no sense."""
    wanted = ProductsSettings.load()
    return HttpFetcher(wanted.allowed_hosts, FetchLimits(max_bytes=wanted.max_bytes, time=wanted.fetch_time))


def forget() -> None:
    """Choose again at the next use: for tests that change the settings."""
    fetcher.cache_clear()
