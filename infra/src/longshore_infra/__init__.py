"""The embedded stack and the roles of hosts; runs in no production process."""
