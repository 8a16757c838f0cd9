"""One cluster for all tests of this folder: two processes with one thread each, on loopback."""

import warnings

import numpy as np
import pytest


@pytest.fixture(scope="session")
def start_cluster(tmp_path_factory):
    """Start a cluster with so many workers, as a context."""
    distributed = pytest.importorskip("distributed")

    def start(workers, **options):
        return distributed.LocalCluster(
            n_workers=workers, host="127.0.0.1", dashboard_address=":0", silence_logs=50,
            local_directory=str(tmp_path_factory.mktemp("dask")), **{"threads_per_worker": 1, **options})

    return start


@pytest.fixture(scope="session")
def cluster(start_cluster):
    with start_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


def learned(model):
    """All that a fit has learned, to the bit."""
    scores = getattr(model, "validation_scores_", None) or []
    return [array.tobytes() for array in (*model.coefs_, *model.intercepts_, np.array(model.loss_curve_),
                                          np.array(scores))]


def fitted(model, *data, **options):
    """Fit a model, which need not converge."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        return model.fit(*data, **options)
