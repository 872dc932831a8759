"""The pure heart of the dispatcher: no I/O, no clock, no chance, no logging."""
