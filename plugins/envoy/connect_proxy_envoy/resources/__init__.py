"""One proxy's snapshot as Envoy's resources: plain proto-JSON, built by pure functions.

Names, timeouts and shapes are those of Consul's own xDS server, so that dashboards and habits fit.
"""
