"""The outside world of the agent, one thing per module."""
