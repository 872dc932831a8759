"""Decides which attempt runs on which worker, and judges what became of it."""
