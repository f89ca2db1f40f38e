"""The tasks domain: how long work is bounded, and how a failure is logged, told and passed on."""
