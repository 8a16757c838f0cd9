"""The book's networks, optimizers and Trainer in plain NumPy, from the contracts alone.

Written in the slow and obvious way; nothing of fastnet is used.
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def labels_of(t, size):
    return t.argmax(axis=1) if t.size == size else t


class Net:
    """Chapter 4 with sigmoid and one-hot rows, chapter 5 with ReLU."""

    def __init__(self, D, H, C, std=0.01, chapter=5):
        self.chapter = chapter
        self.params = {"W1": std * np.random.randn(D, H), "b1": np.zeros(H), "W2": std * np.random.randn(H, C),
                       "b2": np.zeros(C)}

    def hidden(self, x):
        a = x @ self.params["W1"] + self.params["b1"]
        return 1 / (1 + np.exp(-a)) if self.chapter == 4 else np.maximum(a, 0)

    def scores(self, x):
        return self.hidden(x) @ self.params["W2"] + self.params["b2"]

    def predict(self, x):
        return softmax(self.scores(x)) if self.chapter == 4 else self.scores(x)

    def loss(self, x, t):
        p = softmax(self.scores(x))
        return -np.sum(np.log(p[np.arange(len(x)), labels_of(t, p.size)] + 1e-7)) / len(x)

    def accuracy(self, x, t):
        return np.sum(self.predict(x).argmax(axis=1) == (t if t.ndim == 1 else t.argmax(axis=1))) / float(len(x))

    def gradient(self, x, t):
        h, d = self.hidden(x), softmax(self.scores(x))
        if t.size == d.size:
            d = d - t
        else:
            d[np.arange(len(x)), t] -= 1
        d /= len(x)
        below = (d @ self.params["W2"].T) * ((1 - h) * h if self.chapter == 4 else h > 0)
        return {"W1": x.T @ below, "b1": below.sum(axis=0), "W2": h.T @ d, "b2": d.sum(axis=0)}


class Optimizer:
    """All six, by name."""

    def __init__(self, name, lr=0.01, momentum=0.9, decay_rate=0.99, beta1=0.9, beta2=0.999):
        self.name, self.lr, self.momentum, self.decay_rate = name, lr, momentum, decay_rate
        self.beta1, self.beta2, self.iter = beta1, beta2, 0
        self.first, self.second = {}, {}

    def update(self, params, grads):
        self.iter += 1
        for key, w in params.items():
            g = grads[key]
            v, h = self.first.get(key, np.zeros_like(w)), self.second.get(key, np.zeros_like(w))
            if self.name == "SGD":
                w -= self.lr * g
            elif self.name == "Momentum":
                v = self.momentum * v - self.lr * g
                w += v
            elif self.name == "Nesterov":
                w += self.momentum**2 * v - (1 + self.momentum) * self.lr * g
                v = self.momentum * v - self.lr * g
            elif self.name == "AdaGrad":
                h = h + g * g
                w -= self.lr * g / (np.sqrt(h) + 1e-7)
            elif self.name == "RMSprop":
                h = self.decay_rate * h + (1 - self.decay_rate) * g * g
                w -= self.lr * g / (np.sqrt(h) + 1e-7)
            else:
                rate = self.lr * np.sqrt(1 - self.beta2**self.iter) / (1 - self.beta1**self.iter)
                v = v + (1 - self.beta1) * (g - v)
                h = h + (1 - self.beta2) * (g * g - h)
                w -= rate * v / (np.sqrt(h) + 1e-7)
            self.first[key], self.second[key] = v, h


def train(net, x_train, t_train, x_test, t_test, epochs, batch_size, optimizer, samples=None, verbose=False):
    """Return losses and both lists of accuracies."""
    losses, train_acc, test_acc = [], [], []
    per_epoch, epoch = max(len(x_train) / batch_size, 1), 0
    for i in range(int(epochs * per_epoch)):
        chosen = np.random.choice(len(x_train), batch_size)
        x, t = x_train[chosen], t_train[chosen]
        optimizer.update(net.params, net.gradient(x, t))
        losses.append(net.loss(x, t))
        if verbose:
            print("train loss:" + str(losses[-1]))
        if i % per_epoch == 0:
            epoch += 1
            train_acc.append(net.accuracy(x_train[:samples], t_train[:samples]))
            test_acc.append(net.accuracy(x_test[:samples], t_test[:samples]))
            if verbose:
                print("=== epoch:" + str(epoch) + ", train acc:" + str(train_acc[-1]) + ", test acc:"
                      + str(test_acc[-1]) + " ===")
    if verbose:
        print("=============== Final Test Accuracy ===============")
        print("test acc:" + str(net.accuracy(x_test, t_test)))
    return losses, train_acc, test_acc
