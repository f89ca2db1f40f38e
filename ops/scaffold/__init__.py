"""New domains, events, actors and pipelines, written as the house writes them: what `callboard new` does.

names      what may be called what
place      where it goes: this repository, or a package of one's own
schema     the module of a domain's events, and what is added to it
files      what is written: all of it, or nothing
make       the four kinds of new things
"""
