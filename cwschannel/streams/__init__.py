"""Channels of anything: a stream to read, a sink to write, and what is built on the two. Nothing here knows WebSockets."""
