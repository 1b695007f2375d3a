"""What the exporter reports about itself: its own metrics, logs, and the trace of the sweep under way."""
