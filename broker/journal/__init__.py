"""The journal: one writer a process that records claims, steps and outcomes of all runs in shared commits."""
