"""The outside world of the recruiter, one thing per module."""
