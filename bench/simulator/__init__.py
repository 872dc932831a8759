"""A discrete-event simulator: traces, virtual hosts, the real core of the dispatcher, and peers to compare it with.

What must not enter: the real clock, real processes; chance only from the seed of a trace.
"""
