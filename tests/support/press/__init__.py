"""An application whose actors are limited: each start is a row, so that a test can count how many there were at once."""
