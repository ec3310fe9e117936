"""Serving resources to Envoy: the protocol as pure state, and the gRPC shell around it."""
