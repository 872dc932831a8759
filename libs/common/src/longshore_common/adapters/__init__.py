"""The transports behind the ports of `log`; the only rooms that know NATS."""
