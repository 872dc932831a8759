"""Real processes, really killed: what a stack of its own keeps and what the log says about it afterwards.

Each test starts an embedded stack in a temporary directory, hurts it, and then asks three independent witnesses: the
files the tasks wrote, the read model, and a recount of the log. What must not enter: mocks, and sleeps in place of a
condition that can be waited for.
"""
