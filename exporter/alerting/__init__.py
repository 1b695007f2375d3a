"""Alerts: expressions, rules, alarms for direct paging, routing. No I/O."""
