"""The embedded agent: a small faithful Consul for one machine, for development and tests.

Its measure is the real Consul 1.8: same paths, keys, statuses, texts, blocking rules. Everything it
knows is in memory and gone when it stops.
"""
