"""The outside world of the api, one thing per module."""
