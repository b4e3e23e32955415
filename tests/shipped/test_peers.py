"""The comparison with other servers measures what it says; the peers themselves are not needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

from load_tests import peers, servers
from load_tests.bench import two_cores
from load_tests.measure import GrpcLoad, Measurement
from load_tests.peers import Comparison

if TYPE_CHECKING:
    from pathlib import Path


def test_the_image_model_takes_any_number_of_images() -> None:
    session = onnxruntime.InferenceSession(peers.convolution())

    [answer] = session.run(None, {"input": np.zeros((3, 3, 224, 224), np.float32)})

    assert answer.shape == (3, 10)


def test_rows_over_grpc_and_images_in_binary_reach_a_gateway(tmp_path: Path) -> None:
    models, port, grpc_port = peers.repository(tmp_path / "models"), servers.free_port(), servers.free_port()
    command = servers.gateway_command(port, 1, tmp_path / "gateway", models=models, grpc_port=grpc_port)
    cores = two_cores()

    with servers.running("gateway", command, port, cores, tmp_path / "log") as gateway:
        rows = GrpcLoad(cores[1], "breast-cancer", grpc_port).on(gateway, 4, 1)
        image = peers._image(tmp_path, cores[1])
        if image.wrk:
            peers._check_image(port, image, models / "image" / "1" / "model.onnx")
            images = image.on(gateway, 2, 1)
            assert (images.errors, images.requests > 10) == (0, True)

    assert (rows.errors, rows.requests > 10, rows.cpu_us > 0) == (0, True, True)


def test_the_table_pairs_the_rounds() -> None:
    mine = [Measurement("gateway", 1, 10, 0, 200.0, 1.0, 2.0, 50.0)]
    theirs = [Measurement("peer", 1, 10, 0, 100.0, 1.0, 2.0, 200.0)]

    assert Comparison("rows", "peer", mine, theirs).lines()[-1] == "  paired ratio: req/s 2.00, CPU per request 0.250"


def test_a_run_without_a_peer_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        peers.main([])

    assert "--pytriton PYTHON, --mlserver PYTHON" in capsys.readouterr().err
