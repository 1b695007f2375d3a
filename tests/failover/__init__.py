"""Replicas that end, pause, or lose the database."""
