"""The candidates, a library to a file. Their order here is that of the tables.

A file holds ``CANDIDATES``: names, as they are printed, and classes that derive from those in ``adaptor.py``. It imports its
library in functions alone, because these files are read where the libraries are not.
"""

from __future__ import annotations

from importlib import import_module

from ..adaptor import Adaptor

FILES = ("raw", "cwschannel", "picows", "websockets", "aiohttp", "wsproto", "websocket_client")


def load() -> dict[str, type[Adaptor]]:
    found: dict[str, type[Adaptor]] = {}
    for name in FILES:
        found |= import_module(f"{__name__}.{name}").CANDIDATES
    return found
