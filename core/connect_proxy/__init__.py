"""Run Consul Connect sidecar proxies with pluggable backends.

Backend authors import :mod:`connect_proxy.plugin_api`, :mod:`connect_proxy.errors`,
:mod:`connect_proxy.mesh`, :mod:`connect_proxy.snapshot`, :mod:`connect_proxy.consul` and, in their
tests, :mod:`connect_proxy.testing`. Everything else is the inside of the program.
"""

__version__ = "0.1.0"
