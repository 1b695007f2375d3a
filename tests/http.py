"""Requests of tests to servers on this machine: no proxy, and no certificates to load, which costs 20 ms a request."""

from functools import partial

import httpx

get = partial(httpx.get, trust_env=False, verify=False)
post = partial(httpx.post, trust_env=False, verify=False)
