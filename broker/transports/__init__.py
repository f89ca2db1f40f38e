"""The wires: one protocol, two implementations."""
