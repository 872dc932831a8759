"""The `longshore` command: one module per noun; parse, call, print."""
