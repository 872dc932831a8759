"""The pure heart of the api: no I/O, no clock, no chance, no logging."""
