"""A directory is a task: it is sent, run in a container at /rundir, and fetched again; a marker in it knows which task it is.

    marker, ignoring < contents < places < sending < fetching < submitting, tending < desk

What must not enter: typer and printing (`longshore.cli.dir`), how bytes move (`longshore_data`).
"""
