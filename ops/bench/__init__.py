"""The bench: the same work done by Callboard and by plain Dramatiq, in alternating rounds on the same servers."""
