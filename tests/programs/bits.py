"""The numbers of fastnet, to the last bit: one digest for each case, to be compared with those of another version.

    python tests/programs/bits.py                       # print the digests of this tree
    python tests/programs/bits.py --against COMMIT      # compare them with those of a commit of this repository
    python tests/programs/bits.py --against FOLDER      # or with those of another checkout

The digests are those of losses, gradients, parameters, moments, predictions and histories, over shapes, dtypes, depths,
activations, heads and optimizers. They are not kept in a file: they depend on the processor, and on the versions of
NumPy and scikit-learn. So both sides are run here, in processes of their own, and only public names are used: a version
whose folders are others can be compared too. A case is run with one thread and with as many as there are, which has to
give the same digest.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

SHAPES = [(1, 1, 1, 1), (4, 10, 3, 5), (33, 17, 10, 64), (64, 50, 10, 200), (97, 130, 5, 128), (600, 100, 10, 100),
          (1024, 200, 17, 130), (130, 600, 3, 256), (600, 410, 5, 301), (40, 700, 3, 260)]
"""Inputs, hidden units, classes, samples in a minibatch: each way in which a step or a kernel's product can be cut is
among them."""

DTYPES = ("float32", "float64")


def digest(*parts):
    """Digest of arrays, numbers, and lists and dicts of them."""
    result = hashlib.sha256()

    def add(part):
        if isinstance(part, dict):
            for name in sorted(part):
                result.update(name.encode())
                add(part[name])
        elif isinstance(part, list | tuple):
            for item in part:
                add(item)
        else:
            array = np.asarray(part)
            result.update(f"{array.dtype} {array.shape} ".encode())
            result.update(np.ascontiguousarray(array).tobytes())

    add(parts)
    return result.hexdigest()[:16]


def network_cases():
    """The course's network: scores, loss and gradients, a short run of training, predictions."""
    from fastnet import TwoLayerNet

    for D, H, C, N in SHAPES:
        for dtype in DTYPES:
            random = np.random.RandomState(D + H)
            X, y = random.standard_normal((3 * N + 2, D)).astype(dtype), random.randint(C, size=3 * N + 2)
            for l2, reg in (("full", 0.0), ("half", 0.1)):
                net = TwoLayerNet(D, H, C, std=0.3, dtype=dtype, l2=l2, rng=1)
                loss, grads = net.loss(X[:N], y[:N], reg=reg)
                yield f"loss {D}-{H}-{C} N={N} {dtype} {l2}", digest(net.loss(X), loss, grads)
                history = net.train(X, y, X[:7], y[:7], num_iters=7, batch_size=N, reg=reg, learning_rate=1e-2)
                yield f"train {D}-{H}-{C} N={N} {dtype} {l2}", digest(history, net.params, net.predict(X),
                                                                      net.predict(X[:1]))


def kernel_cases():
    """The plain kernels, on arrays in rows and in columns."""
    from fastnet import kernels

    for D, H, C, N in SHAPES[1:]:
        for dtype in DTYPES:
            random = np.random.RandomState(D)
            A, W, b = (random.standard_normal(shape).astype(dtype) for shape in [(N, D), (D, H), (H,)])
            Z, delta = (random.standard_normal(shape).astype(dtype) for shape in [(N, C), (N, H)])
            y = random.randint(C, size=N)
            columns = np.asfortranarray(A)
            yield f"kernels {D}-{H}-{C} N={N} {dtype}", digest(
                kernels.affine_forward(A, W, b), kernels.affine_forward(columns, W, b), kernels.relu(delta),
                kernels.relu_mask(delta, kernels.relu(delta)), kernels.softmax(Z), kernels.softmax_cross_entropy(Z, y),
                kernels.weight_gradient(A, delta), kernels.bias_gradient(delta),
                kernels.propagate_delta(delta, W, A), kernels.sum_of_squares(W))


def estimator_cases():
    """The estimators: depths, activations, heads, optimizers; sparse, weighted, stopped early, in parts."""
    try:
        from scipy import sparse

        from fastnet.sklearn import MLPClassifier, MLPRegressor
    except ImportError:
        return
    solvers = {"plain": {"solver": "sgd", "momentum": 0.0}, "momentum": {"solver": "sgd", "nesterovs_momentum": False},
               "nesterov": {"solver": "sgd", "learning_rate": "adaptive"}, "adam": {"solver": "adam"}}
    depths = {"1": (37,), "2": (130, 20), "3": (24, 200, 9)}
    random = np.random.RandomState(0)
    dense = random.standard_normal((350, 120))
    mostly_zero = np.where(random.uniform(size=dense.shape) < 0.1, dense, 0.0)
    labels = {"binary": random.randint(2, size=350), "classes": random.randint(5, size=350),
              "multilabel": random.randint(2, size=(350, 4))}

    def fitted(estimator, X, y, **options):
        estimator.fit(X, y, **options)
        outputs = estimator.predict_proba(X) if isinstance(estimator, MLPClassifier) else estimator.predict(X)
        return digest(estimator.coefs_, estimator.intercepts_, estimator.loss_curve_, outputs, estimator.predict(X[:1]))

    def named(cls, hidden=(37,), **options):
        return cls(hidden_layer_sizes=hidden, random_state=3, **{"max_iter": 4, "batch_size": 64, **options})

    for dtype in DTYPES:
        X = dense.astype(dtype)
        for solver, chosen in solvers.items():
            for depth, hidden in depths.items():
                yield f"classifier {solver} depth={depth} {dtype}", fitted(
                    named(MLPClassifier, hidden, alpha=0.01, **chosen), X, labels["classes"])
            for activation in ("identity", "logistic", "tanh"):
                yield f"classifier {solver} {activation} {dtype}", fitted(
                    named(MLPClassifier, activation=activation, **chosen), X, labels["binary"])
            yield f"classifier {solver} sparse {dtype}", fitted(
                named(MLPClassifier, **chosen), sparse.csr_matrix(mostly_zero.astype(dtype)), labels["classes"])
            yield f"regressor {solver} {dtype}", fitted(
                named(MLPRegressor, (40, 30), **chosen), X, dense[:, :2].astype(dtype))
        yield f"classifier multilabel {dtype}", fitted(named(MLPClassifier), X, labels["multilabel"])
        yield f"classifier stopped early {dtype}", fitted(named(MLPClassifier, early_stopping=True), X,
                                                          labels["classes"])
        parts = named(MLPClassifier)
        for start in range(0, 300, 100):
            parts.partial_fit(X[start:start + 100], labels["classes"][start:start + 100], classes=range(5))
        yield f"classifier in parts {dtype}", digest(parts.coefs_, parts.intercepts_)


def all_cases():
    """Each case's name and digest."""
    yield from network_cases()
    yield from kernel_cases()
    yield from estimator_cases()


def digests_of(tree):
    """The digests that the package in another folder gives, with one thread and with several."""
    found = {}
    for threads in ("1", str(max(2, os.cpu_count() or 1))):
        environment = {**os.environ, "PYTHONPATH": str(tree), "NUMBA_NUM_THREADS": threads}
        result = subprocess.run([sys.executable, __file__], env=environment, cwd=tree, text=True, capture_output=True,
                                check=False)
        if result.returncode:
            raise SystemExit(f"{tree}:\n{result.stderr}")
        one = json.loads(result.stdout)
        for name, value in one.items():
            if found.setdefault(name, value) != value:
                raise SystemExit(f"{tree}: {name} depends on the number of threads")
    return found


def compare(other):
    """Compare the digests of this tree with those of a folder, or of a commit; return how many cases differ."""
    if Path(other).is_dir():
        theirs = digests_of(other)
    else:
        with tempfile.TemporaryDirectory() as folder:
            archive = subprocess.run(["git", "-C", ROOT, "archive", other], check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
            theirs = digests_of(folder)
    ours = digests_of(ROOT)
    differ = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    for name in differ:
        print(f"{name}: {ours.get(name)} here, {theirs.get(name)} there")
    print(f"{len(ours)} cases, {len(differ)} differ")
    return len(differ)


def main():
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", help="a commit, or a folder")
    args = parser.parse_args()
    if args.against:
        sys.exit(1 if compare(args.against) else 0)
    warnings.simplefilter("ignore")  # of iterations that were not enough
    print(json.dumps(dict(all_cases()), indent=1))


if __name__ == "__main__":
    main()
