"""A PSI/J executor upon Longshore. PSI/J loads its class by the path of a file, so it has a module of its own."""
