"""How good the defaults of `fastnet train` are on four small tables, beside scikit-learn's pipeline of the same shape.

``python bench/tables.py [--seeds 10] [--data iris wine]``: for each seed a quarter of each class is set aside for
testing; the command line and a pipeline of StandardScaler and MLPClassifier learn from the rest, and both label what
was set aside. Mean accuracy, and the difference in points with its standard error over the seeds.
"""

import argparse
import contextlib
import io
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnet
from fastnet.cli import main

DATA = {"iris": datasets.load_iris, "wine": datasets.load_wine, "cancer": datasets.load_breast_cancer,
        "digits": datasets.load_digits}


def command_line(X, y, X_test, seed, folder, options):
    names = [f"x{number}" for number in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    frame["label"] = y
    frame.to_csv(folder / "train.csv", index=False)
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(["train", str(folder / "train.csv"), "--seed", str(seed), "--no-progress", "--force",
                       "--out", str(folder / "model.npz"), *options])
    assert status == 0
    return fastnet.load(folder / "model.npz").predict(pd.DataFrame(X_test, columns=names))


def pipeline(X, y, X_test, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make_pipeline(StandardScaler(), MLPClassifier(random_state=seed)).fit(X, y)
    return model.predict(X_test)


def compare(name, seeds, options):
    X, y = DATA[name](return_X_y=True)
    ours, theirs, seconds = [], [], [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
            start = time.perf_counter()
            ours.append(100 * np.mean(command_line(X_train, y_train, X_test, seed, Path(folder), options) == y_test))
            middle = time.perf_counter()
            theirs.append(100 * np.mean(pipeline(X_train, y_train, X_test, seed) == y_test))
            seconds[0] += middle - start
            seconds[1] += time.perf_counter() - middle
    difference = np.array(ours) - np.array(theirs)
    error = difference.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else float("nan")
    print(f"{name:8}{np.mean(ours):8.2f}{np.mean(theirs):14.2f}{difference.mean():12.2f} +- {error:.2f}"
          f"{seconds[0] / seeds:10.2f}{seconds[1] / seeds:10.2f}", flush=True)


def run():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    args, options = parser.parse_known_args()
    print(f"{'':8}{'fastnet':>8}{'scikit-learn':>14}{'difference':>12}{'s':>18}{'s':>10}")
    for name in args.data:
        compare(name, args.seeds, options)


if __name__ == "__main__":
    run()
