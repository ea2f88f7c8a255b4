"""Makes ``bench`` importable: behind what is installed, so that no other cwschannel is tested."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
