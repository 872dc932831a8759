"""Hires, watches and releases machines; keeps the catalogue of offers."""
