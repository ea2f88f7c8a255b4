"""Packages that only some need: each comes with an extra of the same name."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load_extra"]


def load_extra(name: str, user: str) -> Any:
    """Import a package that an extra of ours brings, or say how to get it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = f"{user} needs the package {name!r}, which is not installed: pip install 'cwschannel[{name}]'"
        raise ModuleNotFoundError(message, name=name) from error
