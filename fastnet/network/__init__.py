"""The passes of a network of any depth: forward and backward by the kernels, and scores in one compiled call."""
