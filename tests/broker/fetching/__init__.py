"""Fetching pages that strangers name."""
