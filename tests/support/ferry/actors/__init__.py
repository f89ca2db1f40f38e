"""The actors of the ferry."""
