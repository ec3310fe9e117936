"""Consul's DNS: services, the mesh, nodes and prepared queries under ``.consul``."""
