"""Printing, posting and holding sheets."""
