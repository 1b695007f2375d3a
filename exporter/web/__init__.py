"""The HTTP server: /metrics, health, status page, access control."""
