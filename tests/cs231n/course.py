"""The course's networks, rules and Solver in plain NumPy, from the contracts alone: what fastnet's have to agree with.

Written in the slow and obvious way; nothing of fastnet is used.
"""

import numpy as np


def sgd(w, dw, config):
    config.setdefault("learning_rate", 1e-2)
    w -= config["learning_rate"] * dw
    return w, config


def sgd_momentum(w, dw, config):
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("momentum", 0.9)
    v = config.get("velocity", np.zeros_like(w))
    v = config["momentum"] * v - config["learning_rate"] * dw
    config["velocity"] = v
    return w + v, config


def rmsprop(w, dw, config):
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("decay_rate", 0.99)
    config.setdefault("epsilon", 1e-8)
    config.setdefault("cache", np.zeros_like(w))
    config["cache"] = config["decay_rate"] * config["cache"] + (1 - config["decay_rate"]) * dw**2
    return w - config["learning_rate"] * dw / (np.sqrt(config["cache"]) + config["epsilon"]), config


def adam(w, dw, config):
    for name, value in (("learning_rate", 1e-3), ("beta1", 0.9), ("beta2", 0.999), ("epsilon", 1e-8), ("t", 0)):
        config.setdefault(name, value)
    config.setdefault("m", np.zeros_like(w))
    config.setdefault("v", np.zeros_like(w))
    config["t"] += 1
    config["m"] = config["beta1"] * config["m"] + (1 - config["beta1"]) * dw
    config["v"] = config["beta2"] * config["v"] + (1 - config["beta2"]) * dw**2
    mt = config["m"] / (1 - config["beta1"] ** config["t"])
    vt = config["v"] / (1 - config["beta2"] ** config["t"])
    return w - config["learning_rate"] * mt / (np.sqrt(vt) + config["epsilon"]), config


RULES = {rule.__name__: rule for rule in (sgd, sgd_momentum, rmsprop, adam)}


class Net:
    """FullyConnectedNet; with float64 and one hidden layer it is TwoLayerNet."""

    def __init__(self, hidden_dims, input_dim, num_classes, *, keep=1, normalization=None, reg=0.0, weight_scale=1e-2,
                 dtype=np.float64, seed=None):
        self.reg, self.dtype, self.keep, self.normalization, self.seed = reg, dtype, keep, normalization, seed
        self.last = len(hidden_dims) + 1
        self.params = {}
        sizes = [input_dim, *hidden_dims, num_classes]
        for i in range(1, self.last + 1):
            self.params[f"W{i}"] = weight_scale * np.random.randn(sizes[i - 1], sizes[i])
            self.params[f"b{i}"] = np.zeros(sizes[i])
            if normalization and i < self.last:
                self.params[f"gamma{i}"], self.params[f"beta{i}"] = np.ones(sizes[i]), np.zeros(sizes[i])
        self.params = {name: array.astype(dtype) for name, array in self.params.items()}
        self.running = {i: [np.zeros(sizes[i], dtype), np.zeros(sizes[i], dtype)] for i in range(1, self.last)}

    def normalized(self, i, a, train):
        axis = 0 if self.normalization == "batchnorm" else 1
        if axis == 0 and not train:
            mean, var = self.running[i]
        else:
            mean, var = a.mean(axis=axis, keepdims=axis == 1), a.var(axis=axis, keepdims=axis == 1)
            if axis == 0:
                self.running[i] = [0.9 * old + 0.1 * new for old, new in zip(self.running[i], (mean, var), strict=True)]
        hat = (a - mean) / np.sqrt(var + 1e-5)
        return self.params[f"gamma{i}"] * hat + self.params[f"beta{i}"], (hat, np.sqrt(var + 1e-5), axis)

    def loss(self, X, y=None):
        p, train = self.params, y is not None
        h, kept = X.reshape(len(X), -1).astype(self.dtype), []
        for i in range(1, self.last):
            x, norm, mask = h, None, None
            a = x @ p[f"W{i}"] + p[f"b{i}"]
            if self.normalization:
                a, norm = self.normalized(i, a, train)
            h = np.maximum(a, 0)
            if self.keep != 1:
                if self.seed is not None:
                    np.random.seed(self.seed)
                if train:
                    mask = (np.random.rand(*h.shape) < self.keep) / self.keep
                    h = (h * mask).astype(h.dtype)
            kept.append((x, norm, a, mask))
        scores = h @ p[f"W{self.last}"] + p[f"b{self.last}"]
        if not train:
            return scores
        shifted = scores - scores.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        N = len(X)
        loss = -logs[np.arange(N), y].mean()
        d = np.exp(logs)
        d[np.arange(N), y] -= 1
        d /= N
        grads = {}
        for i in range(self.last, 0, -1):
            if i < self.last:
                x, norm, a, mask = kept[i - 1]
                if mask is not None:
                    d = (d * mask).astype(d.dtype)
                d = d * (a > 0)
                if norm:
                    hat, root, axis = norm
                    grads[f"gamma{i}"], grads[f"beta{i}"] = (d * hat).sum(axis=0), d.sum(axis=0)
                    g = d * p[f"gamma{i}"]
                    d = (g - g.mean(axis=axis, keepdims=True) - hat * (g * hat).mean(axis=axis, keepdims=True)) / root
            else:
                x = h
            W = p[f"W{i}"]
            loss += 0.5 * self.reg * np.sum(W * W)
            grads[f"W{i}"], grads[f"b{i}"] = x.T @ d + self.reg * W, d.sum(axis=0)
            d = d @ W.T
        return loss, grads


class Solver:
    def __init__(self, model, data, update_rule="sgd", optim_config=None, lr_decay=1.0, batch_size=100, num_epochs=10,
                 num_train_samples=1000, num_val_samples=None, print_every=10, verbose=False):
        self.model, self.data, self.rule = model, data, RULES[update_rule]
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, batch_size, num_epochs
        self.num_train_samples, self.num_val_samples = num_train_samples, num_val_samples
        self.print_every, self.verbose = print_every, verbose
        self.epoch, self.best_val_acc, self.best_params = 0, 0, {}
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.optim_configs = {p: dict(optim_config or {}) for p in model.params}

    def step(self):
        X, y = self.data["X_train"], self.data["y_train"]
        chosen = np.random.choice(len(X), self.batch_size)
        loss, grads = self.model.loss(X[chosen], y[chosen])
        self.loss_history.append(loss)
        for p, w in self.model.params.items():
            self.model.params[p], self.optim_configs[p] = self.rule(w, grads[p], self.optim_configs[p])

    def accuracy(self, part, samples):
        X, y = self.data[f"X_{part}"], self.data[f"y_{part}"]
        if samples is not None and len(X) > samples:
            chosen = np.random.choice(len(X), samples)
            X, y = X[chosen], y[chosen]
        predicted = [self.model.loss(X[i:i + 100]).argmax(axis=1) for i in range(0, len(X), 100)]
        return np.mean(np.concatenate(predicted) == y)

    def train(self):
        per_epoch = max(len(self.data["X_train"]) // self.batch_size, 1)
        iterations = self.num_epochs * per_epoch
        for t in range(iterations):
            self.step()
            if self.verbose and t % self.print_every == 0:
                print("(Iteration %d / %d) loss: %f" % (t + 1, iterations, self.loss_history[-1]))  # noqa: UP031
            end = (t + 1) % per_epoch == 0
            if end:
                self.epoch += 1
                for config in self.optim_configs.values():
                    config["learning_rate"] *= self.lr_decay
            if t == 0 or t == iterations - 1 or end:
                self.train_acc_history.append(self.accuracy("train", self.num_train_samples))
                self.val_acc_history.append(self.accuracy("val", self.num_val_samples))
                if self.verbose:
                    print("(Epoch %d / %d) train acc: %f; val_acc: %f" % (  # noqa: UP031
                        self.epoch, self.num_epochs, self.train_acc_history[-1], self.val_acc_history[-1]))
                if self.val_acc_history[-1] > self.best_val_acc:
                    self.best_val_acc = self.val_acc_history[-1]
                    self.best_params = {p: w.copy() for p, w in self.model.params.items()}
        self.model.params = self.best_params
