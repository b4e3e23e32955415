"""How a request can end.

Each request has exactly one outcome, and only model_error and timeout count against a version.
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
CLIENT_ERROR: Final = 1
MODEL_ERROR: Final = 2
TIMEOUT: Final = 3
OVERLOAD: Final = 4
CANCELLED: Final = 5
GATEWAY_ERROR: Final = 6

OUTCOMES: Final = ("ok", "client_error", "model_error", "timeout", "overload", "cancelled", "gateway_error")
"""Label values of ``gateway_requests_total{outcome}``, by the integers above."""
