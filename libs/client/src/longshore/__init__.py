"""What users hold: the SDK and the command line; it reads no log and decides nothing."""
