"""`fastnet.verify` names the culprit: one fault of a student at a time, planted in a class that is right."""

import re

import numpy as np
import pytest

import fastnet
from fastnet.datasets import load_digits

from .student import BOOK, FC_NET, OLD, written

OPTIONS = {"hidden_size": 8, "std": 0.3, "learning_rate": 0.1, "reg": 1e-2, "batch_size": 20, "num_iters": 10,
           "repeats": 1}
"""With 100 samples, of which 80 are trained on: an epoch has 4 iterations."""

SQUARE = {"hidden_size": 10}  # as many as classes
TALL = {"hidden_size": 20}  # as many as samples in a minibatch
FEW = {"samples": 50, "batch_size": 10}  # minibatch, validation data and classes have the same size

STEP = """            for name in self.params:
                self.params[name] -= learning_rate * grads[name]
"""
INLINE = """            N, h1 = batch_size, np.maximum(0, X_batch.dot(self.params["W1"]) + self.params["b1"])
            scores = h1.dot(self.params["W2"]) + self.params["b2"]
            exp = np.exp(scores - scores.max(axis=1, keepdims=True))
            d = exp / exp.sum(axis=1, keepdims=True)
            d[np.arange(N), y_batch] -= 1
            d /= N
            self.params["W2"] -= learning_rate * (h1.T.dot(d) + 2 * reg * self.params["W2"])
            self.params["b2"] -= learning_rate * d.sum(axis=0)
            d = d.dot(self.params["W2"].T) * (h1 > 0)
            self.params["W1"] -= learning_rate * (X_batch.T.dot(d) + 2 * reg * self.params["W1"])
            self.params["b1"] -= learning_rate * d.sum(axis=0)
"""
LOSS = "            loss, grads = self.loss(X_batch, y=y_batch, reg=reg)\n"
RECORD = "            loss_history.append(loss)\n"
CHECK = "            if it % iterations_per_epoch == 0:\n"
DECAY = "                learning_rate *= learning_rate_decay\n"
RANDN1 = 'self.params["W1"] = std * np.random.randn(input_size, hidden_size)'
RANDN2 = 'self.params["W2"] = std * np.random.randn(hidden_size, output_size)'

FAULTS = {
    # forward
    "leaky ReLU": ("h1 = np.maximum(0, z1)", "h1 = np.maximum(0.01 * z1, z1)", r"the scores:.*leaky"),
    "abs": ("h1 = np.maximum(0, z1)", "h1 = np.abs(z1)", r"the scores:.*absolute"),
    "tanh": ("h1 = np.maximum(0, z1)", "h1 = np.tanh(z1)", r"the scores:.*tanh"),
    "no ReLU": ("h1 = np.maximum(0, z1)", "h1 = z1", r"the scores:.*no activation"),
    "b1 forgotten": ("z1 = X.dot(W1) + b1", "z1 = X.dot(W1)", r"the scores: b1 is not added"),
    "b2 forgotten": ("scores = h1.dot(W2) + b2", "scores = h1.dot(W2)", r"the scores: b2 is not added"),
    # softmax and loss
    "no shift": ("shifted = scores - np.max(scores, axis=1, keepdims=True)", "shifted = scores",
                 r"the softmax: the largest score of each sample is not subtracted"),
    "one shift": ("shifted = scores - np.max(scores, axis=1, keepdims=True)", "shifted = scores - np.max(scores)",
                  r"the softmax: one maximum of the whole matrix"),
    "softmax over samples": ("np.sum(exp_scores, axis=1, keepdims=True)", "np.sum(exp_scores, axis=0, keepdims=True)",
                             r"the softmax: its sum is taken over the samples"),
    "softmax over all": ("np.sum(exp_scores, axis=1, keepdims=True)", "np.sum(exp_scores)",
                         r"the softmax: its sum is taken over the whole matrix"),
    "eps": ("np.log(probs[np.arange(N), y])", "np.log(probs[np.arange(N), y] + 1e-8)", r"the loss: log\(p \+ 1e-08\)"),
    "large eps": ("np.log(probs[np.arange(N), y])", "np.log(probs[np.arange(N), y] + 1e-5)",
                  r"the loss: log\(p \+ 1e-05\)"),
    "clipped": ("np.log(probs[np.arange(N), y])", "np.log(np.clip(probs[np.arange(N), y], 1e-12, 1))",
                r"the loss:.*1e-12"),
    "no log": ("-np.log(probs[np.arange(N), y])", "-probs[np.arange(N), y]", r"the loss: the probability itself"),
    "loss is a sum": ("        loss /= N\n", "", r"the loss is the sum"),
    "loss over classes": ("        loss /= N\n", "        loss /= W2.shape[1]\n", r"the loss is 2 times"),
    "labels off by one": ("        if y is None:\n            return scores\n",
                          "        if y is None:\n            return scores\n        y = y - 1\n",
                          r"the labels: they are off by one \(y - 1\)"),
    # gradients
    "one-hot off by one": ("dscores[np.arange(N), y] -= 1", "dscores[np.arange(N), y - 1] -= 1",
                           r"the gradient of the scores: 1 is subtracted at y - 1"),
    "no one-hot": ("        dscores[np.arange(N), y] -= 1\n", "", r"the gradient of the scores: 1 is not subtracted"),
    "gradients are sums": ("        dscores /= N\n", "", r"the gradients are sums", {"learning_rate": 1e-3}),
    "gradients have the wrong sign": ("        dscores /= N\n", "        dscores /= -N\n",
                                      r"the gradients are of the opposite sign"),
    "dW2 of z1": ('grads["W2"] = h1.T.dot(dscores)', 'grads["W2"] = z1.T.dot(dscores)',
                  r"the gradient of W2: .* before its ReLU"),
    "dW2 twice": ('grads["W2"] = h1.T.dot(dscores)', 'grads["W2"] = 2 * h1.T.dot(dscores)',
                  r"the gradient of W2 is 2 times"),
    "db2 not divided": ('grads["b2"] = np.sum(dscores, axis=0)', 'grads["b2"] = np.sum(dscores, axis=0) * N',
                        r"the gradient of b2 is .*not divided by N"),
    "db2 is a mean": ('grads["b2"] = np.sum(dscores, axis=0)', 'grads["b2"] = np.mean(dscores, axis=0)',
                      r"the gradient of b2 is the mean"),
    "db2 is one number": ('grads["b2"] = np.sum(dscores, axis=0)', 'grads["b2"] = np.sum(dscores)',
                          r"the gradient of b2: delta is summed over everything"),
    "db2 over classes": ('grads["b2"] = np.sum(dscores, axis=0)', 'grads["b2"] = np.sum(dscores, axis=1)',
                         r"the gradient of b2: delta is summed over the classes", FEW),
    "mask of <": ("dz1[h1 <= 0] = 0", "dz1[h1 < 0] = 0", r"the gradients of W1 and b1: they lack the derivative"),
    "no mask": ("        dz1[h1 <= 0] = 0\n", "", r"the gradients of W1 and b1: they lack the derivative"),
    "mask of >=": ("dz1[h1 <= 0] = 0", "dz1[z1 < 0] = 0", r"the gradients of W1 and b1: the mask of the ReLU is >= 0"),
    "mask reversed": ("dz1[h1 <= 0] = 0", "dz1[h1 > 0] = 0", r"the gradients of W1 and b1:.*wrong way round"),
    "mask of the gradient": ("dz1[h1 <= 0] = 0", "dz1[dh1 <= 0] = 0",
                             r"the gradients of W1 and b1: the ReLU is applied to the gradient itself"),
    "times h1": ("dz1[h1 <= 0] = 0", "dz1 *= h1", r"the gradients of W1 and b1:.*multiplied by h1 itself"),
    "W2 not transposed": ("dh1 = dscores.dot(W2.T)", "dh1 = dscores.dot(W2)",
                          r"the gradients of W1 and b1: W2 is not transposed", SQUARE),
    "db1 is a mean": ('grads["b1"] = np.sum(dz1, axis=0)', 'grads["b1"] = np.mean(dz1, axis=0)',
                      r"the gradient of b1 is the mean"),
    "db1 over units": ('grads["b1"] = np.sum(dz1, axis=0)', 'grads["b1"] = np.sum(dz1, axis=1)',
                       r"the gradient of b1: delta is summed over the units", TALL),
    "db1 before the mask": ('grads["b1"] = np.sum(dz1, axis=0)', 'grads["b1"] = np.sum(dh1, axis=0)',
                            r"the gradient of b1: delta is taken before its mask"),
    "db1 of something": ('grads["b1"] = np.sum(dz1, axis=0)', 'grads["b1"] = np.sum(dz1**2, axis=0)',
                         r"the gradient of b1: that of W1 agrees, so it is the sum"),
    "dW1 before the mask": ('grads["W1"] = X.T.dot(dz1)', 'grads["W1"] = X.T.dot(dh1)',
                            r"the gradient of W1: delta is taken before its mask"),
    "dW1 divided again": ('grads["W1"] = X.T.dot(dz1)', 'grads["W1"] = X.T.dot(dz1) / N',
                          r"the gradient of W1 is divided by N once more"),
    "dW1 of something": ('grads["W1"] = X.T.dot(dz1)', 'grads["W1"] = (X**2).T.dot(dz1)',
                         r"the gradient of W1: that of b1 agrees, so it is the product"),
    # penalty
    "0.5 in the loss only": ("loss += reg *", "loss += 0.5 * reg *", r"the L2 penalty: the factor in the loss"),
    "0.5 in the gradients only": (('grads["W2"] += 2 * reg * W2', 'grads["W2"] += reg * W2'),
                                  ('grads["W1"] += 2 * reg * W1', 'grads["W1"] += reg * W1'),
                                  r"the L2 penalty: the factor in the loss does not fit that in the gradient"),
    "no penalty in the loss": ("        loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))\n", "",
                               r"the L2 penalty: the loss lacks it"),
    "no penalty of W2 in the loss": ("np.sum(W1 * W1) + np.sum(W2 * W2)", "np.sum(W1 * W1)",
                                     r"the L2 penalty: in the loss it is of W1,"),
    "no penalty of W1": ('        grads["W1"] += 2 * reg * W1\n', "", r"the L2 penalty: the gradient of W1 lacks it"),
    "no penalty of W2": ('        grads["W2"] += 2 * reg * W2\n', "", r"the L2 penalty: the gradient of W2 lacks it"),
    "no penalty in the gradients": (('        grads["W1"] += 2 * reg * W1\n', ""),
                                    ('        grads["W2"] += 2 * reg * W2\n', ""),
                                    r"the L2 penalty: the gradient of W1 and of W2 lacks it"),
    "penalty of W1 halved": ('grads["W1"] += 2 * reg * W1', 'grads["W1"] += reg * W1',
                             r"the L2 penalty: the factor in the gradient of W1 is not twice"),
    "penalized biases": (('["b1"] = np.sum(dz1, axis=0)', '["b1"] = np.sum(dz1, axis=0) + 2 * reg * b1'),
                         ('["b2"] = np.sum(dscores, axis=0)', '["b2"] = np.sum(dscores, axis=0) + 2 * reg * b2'),
                         r"the L2 penalty: the biases are penalized too"),
    "penalty divided by N": ("        loss /= N\n        loss += reg *", "        loss /= N\n        loss += reg / N *",
                             r"the L2 penalty: the factor in the loss"),
    # the loop
    "W2 updated first": (STEP, INLINE, r"the step: W2 is updated before"),
    "step uphill": ("self.params[name] -= learning_rate", "self.params[name] += learning_rate", r"the step: .*added"),
    "biases not updated": ("for name in self.params:", 'for name in ("W1", "W2"):',
                           r"the step: the biases are not updated"),
    "W1 not updated": ("for name in self.params:", 'for name in ("W2", "b1", "b2"):', r"the step: W1 is not updated"),
    "own learning rate": ("self.params[name] -= learning_rate", "self.params[name] -= 1e-3",
                          r"the step: the learning rate is not that", {"learning_rate_decay": 1.0}),
    "step divided again": ("learning_rate * grads[name]", "learning_rate * grads[name] / batch_size",
                           r"the step: the gradient is divided by the size of the minibatch"),
    "reg not given": ("reg=reg)", "reg=0.0)", r"the penalty: train does not give reg"),
    "loss after the step": (RECORD, "", STEP,
                            STEP + "            loss_history.append(self.loss(X_batch, y_batch, reg)[0])\n",
                            r"loss_history: it has the losses after the update"),
    "no decay": (DECAY, "", r"the learning rate: it never decays"),
    "decay in each iteration": (DECAY, "            learning_rate *= learning_rate_decay\n",
                                r"the learning rate: it decays after each iteration"),
    "no first decay": (DECAY, "                learning_rate *= learning_rate_decay if it else 1\n",
                       r"the learning rate: it does not decay after the first"),
    "epochs rounded": ("max(num_train / batch_size, 1)", "max(num_train // batch_size, 1)",
                       r"accuracies and decay: .*rounded number", {"batch_size": 23, "num_iters": 14}),
    "end of epoch": (CHECK, "            if (it + 1) % iterations_per_epoch == 0:\n",
                     r"accuracies and decay: they come at the end of each epoch"),
    "without replacement": ("np.random.choice(num_train, batch_size)",
                            "np.random.choice(num_train, batch_size, replace=False)",
                            r"the generator: .*without replacement"),
    "permutation": ("np.random.choice(num_train, batch_size)", "np.random.permutation(num_train)[:batch_size]",
                    r"the generator: .*without replacement"),
    "rows in order": ("np.random.choice(num_train, batch_size)",
                      "np.arange(it * batch_size, (it + 1) * batch_size) % num_train",
                      r"the minibatches: nothing is drawn, they are the rows"),
    "own generator": ("np.random.choice(num_train, batch_size)",
                      "np.random.default_rng(it).choice(num_train, batch_size)",
                      r"the generator: train draws nothing from NumPy's global one"),
    "labels drawn apart": ("y[indices]", "y[np.random.choice(num_train, batch_size)]",
                           r"the minibatches: samples and labels are drawn apart"),
    "first labels": ("y[indices]", "y[:batch_size]", r"the minibatches: the labels are the first"),
    # accuracies and predictions
    "validated on the training data": ("(self.predict(X_val) == y_val)", "(self.predict(X) == y)",
                                       r"val_acc_history: the accuracy is that of the training samples"),
    "validated on the minibatch": ("(self.predict(X_val) == y_val)", "(self.predict(X_batch) == y_batch)",
                                   r"val_acc_history: the accuracy is that of the minibatch"),
    "accuracy of all": ("(self.predict(X_batch) == y_batch)", "(self.predict(X) == y)",
                        r"train_acc_history: the accuracy is that of all"),
    "argmin": ("np.argmax(self.loss(X), axis=1)", "np.argmin(self.loss(X), axis=1)", r"predict: .*smallest"),
    "argmax over samples": ("np.argmax(self.loss(X), axis=1)", "np.argmax(self.loss(X), axis=0)",
                            r"predict: .*axis 0", FEW),
    "max": ("np.argmax(self.loss(X), axis=1)", "np.max(self.loss(X), axis=1)", r"predict: .*largest score itself"),
    "predict without ReLU": ("np.argmax(self.loss(X), axis=1)",
                             'np.argmax((X @ self.params["W1"] + self.params["b1"]) @ self.params["W2"] '
                             '+ self.params["b2"], axis=1)', r"predict: its hidden layer has no ReLU"),
    "predict from the hidden layer": ("np.argmax(self.loss(X), axis=1)",
                                      'np.argmax(X @ self.params["W1"], axis=1)', r"predict: it does not return"),
    # the constructor
    "not scaled": (RANDN1, RANDN1.replace("std * ", ""), r"the constructor: .*W1 is not multiplied by std"),
    "He": (RANDN1, RANDN1.replace("std", "np.sqrt(2 / input_size)"), r"the constructor: .*W1 is multiplied by sqrt\(2"),
    "uniform": (RANDN1, RANDN1.replace("randn", "rand"), RANDN2, RANDN2.replace("randn", "rand"),
                r"the constructor: .*uniform"),
    "W2 drawn first": (f'{RANDN1}\n        self.params["b1"] = np.zeros(hidden_size)\n        {RANDN2}\n',
                       f'{RANDN2}\n        {RANDN1}\n        self.params["b1"] = np.zeros(hidden_size)\n',
                       r"the constructor: .*W2 is drawn before W1"),
    "biases of 1": ('self.params["b1"] = np.zeros(hidden_size)', 'self.params["b1"] = np.ones(hidden_size)',
                    r"the constructor: .*b1 is not 0"),
}
"""For each fault the line that is replaced, the line in its place, what is to be said, and options where it needs some.

Where several lines are, they follow each other, or come in pairs.
"""

FC_NET_FAULTS = {
    "penalty without 0.5": ("loss += 0.5 * self.reg", "loss += self.reg", r"the L2 penalty: the factor in the loss"),
    "gradients are sums": ("        dscores /= N\n", "", r"the gradients are sums", {"learning_rate": 1e-3}),
    "mask of the gradient": ("(dscores @ W2.T) * (out > 0)", "np.maximum(dscores @ W2.T, 0)",
                             r"the gradients of W1 and b1: the ReLU is applied to the gradient itself"),
    "db1 is a mean": ('"b1": dout.sum(axis=0)', '"b1": dout.mean(axis=0)', r"the gradient of b1 is the mean"),
    "no penalty of W1": ("X.T @ dout + self.reg * W1", "X.T @ dout", r"the L2 penalty: the gradient of W1 lacks it"),
    "no shift": ("log_probs = shifted", "shifted = scores\n        log_probs = shifted",
                 r"the softmax: the largest score of each sample is not subtracted"),
    "weights not scaled": ("np.random.normal(0, weight_scale, (input_dim", "np.random.normal(0, 1, (input_dim",
                           r"the constructor: .*W1 is not multiplied"),
}

BOOK_FAULTS = {
    "derivative of the argument": ("da1 = z1 * (1 - z1) * dz1", "da1 = a1 * (1 - a1) * dz1",
                                   r"the gradients of W1 and b1: the derivative of the hidden layer is taken of"),
    "no derivative": ("da1 = z1 * (1 - z1) * dz1", "da1 = dz1",
                      r"the gradients of W1 and b1: they lack the derivative"),
    "ReLU": ("z1 = sigmoid(np.dot(x, ", "z1 = np.maximum(0, np.dot(x, ", "z1 = sigmoid(a1)", "z1 = np.maximum(0, a1)",
             "da1 = z1 * (1 - z1) * dz1", "da1 = (z1 > 0) * dz1", r"the scores: the hidden layer has ReLU$"),
    "not divided": ("dy = (y - t) / x.shape[0]", "dy = y - t", r"the gradients are sums", {"learning_rate": 1e-3}),
    "log without eps": (" + 1e-7)", ")", r"the loss: log\(p\), with nothing added"),
    "db2 is a mean": ('"b2": np.sum(dy, axis=0)', '"b2": np.mean(dy, axis=0)', r"the gradient of b2 is the mean"),
    "accuracy is a count": (" / float(x.shape[0])", "", r"accuracy: it is a count"),
}

EDITIONS = {"old": (OLD, FAULTS), "fc_net": (FC_NET, FC_NET_FAULTS), "book": (BOOK, BOOK_FAULTS)}
CASES = [(edition, fault) for edition, (_, faults) in EDITIONS.items() for fault in faults]


def verified(kind, samples=100, **options):
    X, y = load_digits()
    with np.errstate(all="ignore"):  # some of these diverge
        return fastnet.verify(kind, X[:samples, 18:34], y[:samples], **{**OPTIONS, **options})


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_class_without_a_fault_has_no_finding(edition):
    report = verified(written(EDITIONS[edition][0]))
    assert report.ok, report
    assert report.differences == ()


@pytest.mark.parametrize("replaced", [
    [],
    [("loss += reg *", "loss += 0.5 * reg *"), ("+= 2 * reg * W1", "+= reg * W1"), ("+= 2 * reg * W2", "+= reg * W2")],
    [("dz1[h1 <= 0] = 0", "dz1 *= z1 > 0")],
    [("np.sum(-np.log(probs[np.arange(N), y]))",
      "np.sum(np.log(exp_scores.sum(axis=1)) - shifted[np.arange(N), y])")],
    [("dscores /= N", "pass"), ('grads["W2"] = h1.T.dot(dscores)', 'dscores /= N; grads["W2"] = h1.T.dot(dscores)')],
    [("np.exp(shifted)", "np.exp(shifted - 1)")],
], ids=["as it is", "penalty with 0.5", "mask of z1 > 0", "log-sum-exp", "divided later", "another constant"])
def test_conventions_are_no_faults(replaced):
    report = verified(written(OLD, *replaced))
    assert report.ok, report
    assert report.differences == ()


@pytest.mark.parametrize(("edition", "fault"), CASES, ids=[" ".join(case).replace(" ", "-") for case in CASES])
def test_the_culprit_is_named(edition, fault):
    text, faults = EDITIONS[edition]
    *lines, message = [part for part in faults[fault] if not isinstance(part, dict)]
    options = {name: value for part in faults[fault] if isinstance(part, dict) for name, value in part.items()}
    pairs = lines if isinstance(lines[0], tuple) else list(zip(lines[::2], lines[1::2], strict=True))
    report = verified(written(text, *pairs), **options)
    print(report)
    assert not report.ok
    assert re.search(message, report.differences[0]), report.differences
    for other in report.differences[1:]:  # nothing else is to blame
        assert "follows from the above" in other
