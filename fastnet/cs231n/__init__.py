"""The course's own module names, on the engine: put ``fastnet.`` before each of its imports.

``from fastnet.cs231n.classifiers.fc_net import *`` instead of ``from cs231n.classifiers.fc_net import *``, and so on
for `layers`, `layer_utils`, `optim`, `solver`, `gradient_check` and `data_utils`: the same names, draws from NumPy's
global generator, printed lines, attributes and numbers, from the course's assignments of 2016 on. (The class of the
older edition is in `classifiers.neural_net`, and is :class:`fastnet.TwoLayerNet`.)
"""
