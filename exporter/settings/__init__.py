"""Settings from file, environment and flags, and their validation.

Import from the modules: `__init__` imports none of them, so that commands which need no settings start quickly.
"""
