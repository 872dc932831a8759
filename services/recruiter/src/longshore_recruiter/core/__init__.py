"""The pure heart of the recruiter: no I/O, no clock, no chance, no logging."""
