"""Runs attempts on one host: stage in, run, stage out, report; knows of no other worker."""
