"""The orders domain: turn a paid order into songs, kept where the buyer can reach them."""
