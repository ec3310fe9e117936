"""Whatever reads bytes from the network, given any bytes there are."""
