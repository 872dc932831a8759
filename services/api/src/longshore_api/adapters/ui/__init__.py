"""The web UI at `/`: pages made here, kept fresh by a stream that says when to look again; no build, nothing from elsewhere.

A page is a function from what was asked to HTML; the same page without its frame is what the browser fetches when
something moved. What must not enter: what a task, a batch, a worker is (see `reader`, `present`), decisions, secrets.
"""
