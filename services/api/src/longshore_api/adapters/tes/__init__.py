"""GA4GH TES 1.1: its own words on the wire, and what they mean here. What must not enter: what other routes answer."""
