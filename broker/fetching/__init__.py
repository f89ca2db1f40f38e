"""Fetching pages that strangers name: public addresses only, checked and pinned, bounded in size and time."""

from broker.fetching.errors import FetchError, PageTooDeepError
from broker.fetching.fetcher import FetchedPage, Fetcher, FetchLimits, HttpFetcher

__all__ = ["FetchError", "FetchLimits", "FetchedPage", "Fetcher", "HttpFetcher", "PageTooDeepError"]
