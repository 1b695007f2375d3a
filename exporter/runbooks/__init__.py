"""What to do when an alert fires: a page per alert, made from one row each."""
