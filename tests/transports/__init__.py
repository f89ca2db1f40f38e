"""The two transports, against real servers."""
