"""Whole stories with real processes: commands and workers as an operator starts them, on real servers that die."""
