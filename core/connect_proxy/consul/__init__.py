"""The Consul agent's HTTP API, as typed asynchronous calls.

Public to backends: :class:`~connect_proxy.consul.client.ConsulClient` (the Protocol),
:func:`~connect_proxy.consul.client.connect_consul` (the factory) and
:class:`~connect_proxy.consul.access.AgentAccess`.
"""
