"""Flow control, option by option."""
