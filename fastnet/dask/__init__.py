"""Scikit-learn's multi-layer perceptrons on collections of Dask: data that are larger than memory, or than a machine.

Each partition is a shard, on which a replica is trained for a round (:mod:`fastnet.sklearn.replicas`); between two
rounds the replicas are averaged in the order of the partitions. So the result does not depend on how many workers there
are, or on which of them were lost.
"""

try:
    import dask.array
    import dask.dataframe  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError('fastnet.dask needs Dask: pip install "dask[array,dataframe]" distributed (the extra `dask`)',
                      name=error.name) from error

from .estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
