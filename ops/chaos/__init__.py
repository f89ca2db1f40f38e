"""Faults on purpose: what Callboard promises, tried while everything around it breaks.

trial       a chain of three actors that leaves traces of all it does
worker      a worker process of that chain; seams: where it can be made to crash, doubt or cheat
arena       a row's corner: database, namespace, workers, publisher
load        the publisher that remembers which publishes returned
faults      what is done to workers, servers and the network
rows        which load meets which faults
oracle      was anything lost, doubled, left over: one judge for all rows
programme   runs rows, one after the other
report      tells it: a table, JSON, a section of the docs
"""
