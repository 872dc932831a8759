"""A supervisor of processes that knows nothing of what they are: a plan in, a report and log files out.

It lives as long as a stack, so it is kept small: msgspec and the standard library, no asyncio, no HTTP.
"""
