"""Lifecycle traces made of episodes. No I/O."""
