"""An application of its own, as `CALLBOARD_APPS` loads it: actors that wait, and one that kills its worker."""
