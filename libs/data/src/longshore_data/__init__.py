"""Data: what a URI means, and how its bytes move between storage and this host; shared by agents and the command line.

    uri, actions, store, meter    pure words and the port: what is meant, what storage is asked, what is counted
    disk, parallel, unpack        this host's own disk, many transfers at once, archives
    stores                        one module per kind of storage
    transfer                      a URI with its options and actions, into a directory

What must not enter: attempts, reports, the log, printing.
"""
