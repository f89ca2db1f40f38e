"""The troupe's actors."""
