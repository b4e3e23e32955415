"""From a fitted estimator to a version of the repository, with proof that both answer alike.

Runs in the command line, never in a server: its libraries come with the ``convert`` extra and take seconds to import.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # latched when onnxruntime is first imported, which is after this
