"""What the troupe has planned."""
