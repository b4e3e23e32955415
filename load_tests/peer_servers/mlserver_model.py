"""A custom runtime for MLServer that runs one ONNX model: what its documentation shows for a model of one's own.

Source: MLServer documentation, "Writing Custom Runtimes".
"""

from __future__ import annotations

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):  # type: ignore[misc] # no stubs here
    """Answers the output ``probabilities``."""

    async def load(self) -> bool:
        """Open the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the model on the first input."""
        given = NumpyCodec.decode_input(payload.inputs[0])
        [answer] = self._session.run(["probabilities"], {"input": given})
        output = NumpyCodec.encode_output("probabilities", answer)
        return InferenceResponse(model_name=self.name, outputs=[output])
