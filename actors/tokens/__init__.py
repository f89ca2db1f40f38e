"""The tokens domain: the OAuth tokens of shops, refreshed before they expire, by one worker at a time."""
