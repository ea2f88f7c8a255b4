"""Benchmarks: ``pytest bench``, or ``tox -e bench``, prints our figures beside the alternatives' and the raw limit."""
