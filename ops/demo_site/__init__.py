"""A small website about a theatre, with faults on purpose: what page scans read when there is no internet."""
