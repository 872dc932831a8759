"""The outside world of the dispatcher, one thing per module."""
