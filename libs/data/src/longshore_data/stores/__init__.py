"""One module per kind of storage, each a `store.Store`; what a client costs in time and memory is imported at its first use.

What must not enter: actions, where files land, attempts.
"""
