"""The classes of the book "Deep Learning from Scratch", by its own module names, on the engine.

``from fastnet.dlfs.ch05.two_layer_net import TwoLayerNet`` instead of ``from two_layer_net import TwoLayerNet``, and
``from fastnet.dlfs.common.trainer import Trainer`` instead of ``from common.trainer import Trainer``: the same names,
draws from NumPy's global generator, printed lines, attributes and numbers.
"""
