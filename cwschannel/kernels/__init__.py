"""Bytes in, bytes out, at C speed: masking, framing, UTF-8, the handshake's signature. No I/O, no clock, no connection.

This is the one place that knows of two implementations. The compiled one is taken if it is there and the environment
variable ``CWSCHANNEL_PURE`` is not set; never a mixture of both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final


def _why_pure() -> str:
    if os.environ.get("CWSCHANNEL_PURE", "0") not in ("", "0"):
        return "CWSCHANNEL_PURE is set"
    try:
        import cwschannel.kernels.compiled.framing
        import cwschannel.kernels.compiled.masking
        import cwschannel.kernels.compiled.signing
        import cwschannel.kernels.compiled.utf8  # noqa: F401
    except ModuleNotFoundError:
        return "they were not compiled when the package was built"
    except ImportError as error:
        return str(error)
    return ""


WHY_PURE: Final[str] = _why_pure()
"""Why the pure kernels are in use; an empty string if the compiled ones are."""

COMPILED: Final[bool] = not WHY_PURE
"""Whether the compiled kernels are in use."""

if TYPE_CHECKING or not COMPILED:
    from .pure.framing import FrameReader, ReadBuffer, encode_frame, encode_header, encode_masked_message, encode_message
    from .pure.masking import mask, mask_in_place, mask_key
    from .pure.signing import sign_key
    from .pure.utf8 import Utf8Validator
else:
    from .compiled.framing import FrameReader, ReadBuffer, encode_frame, encode_header, encode_masked_message, encode_message
    from .compiled.masking import mask, mask_in_place, mask_key
    from .compiled.signing import sign_key
    from .compiled.utf8 import Utf8Validator

__all__ = [
    "COMPILED",
    "WHY_PURE",
    "FrameReader",
    "ReadBuffer",
    "Utf8Validator",
    "encode_frame",
    "encode_header",
    "encode_masked_message",
    "encode_message",
    "mask",
    "mask_in_place",
    "mask_key",
    "sign_key",
]
