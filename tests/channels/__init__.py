"""Channels over real sockets on this machine, on every kind of event loop."""
