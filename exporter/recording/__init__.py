"""Recordings of API responses without what identifies anything: redaction, lines of the file, responses of a replay."""
