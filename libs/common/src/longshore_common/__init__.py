"""The vocabulary every room shares, and the transport: it names and carries, and never decides."""
