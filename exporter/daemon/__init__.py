"""The running daemon: composition, schedule, publishing, reload."""
