"""What operators type: the command ``gateway``."""

import time
from typing import Final

BEGAN: Final = time.monotonic()
"""When the command was begun, on the monotonic clock: its first line, before what it imports."""
