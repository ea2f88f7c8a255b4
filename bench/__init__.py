"""Benchmarks: ``python -m bench``, or ``tox -e bench``, prints our figures beside the alternatives' and the raw limit.

A ``Case`` (plan.py) is what is measured: so many messages of such a size, this way and that. A candidate (candidates/) is
one library used in one way; it runs in a process of its own (child.py) against a peer (peer.py) that is the same for all.
The field (field.py) starts the processes and lets them take turns. What it returns becomes ratios (stats.py), verdicts
(targets.py), tables (report.py) and pictures (chart.py); check.py compares two builds of ours. The processes talk JSON, a
line a message (lines.py).
"""
