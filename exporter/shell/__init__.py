"""Effects: each module wraps one outside thing."""
