"""Whole stacks as their users meet them."""
