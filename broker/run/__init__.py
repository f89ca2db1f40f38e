"""A run as its actor sees it: verbs whose results are durable. `core` decides, `synchronous` and `asynchronous` do the I/O."""
