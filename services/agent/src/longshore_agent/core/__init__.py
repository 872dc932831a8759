"""The pure heart of the agent: no I/O, no clock, no chance, no logging."""
