"""PUBLIC. The test kit for backend authors: what every backend of ours passes, strangers' can too.

Subclass :class:`~connect_proxy.testing.backend_contract.BackendContract` in a test module and set
``backend``; pytest then runs the contract. :mod:`connect_proxy.testing.examples` makes contexts and
snapshots from nothing, :mod:`connect_proxy.testing.feeds` plays snapshots to a data plane.
"""
