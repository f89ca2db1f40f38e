"""The policies, one a file, in the one order in which they stand."""
