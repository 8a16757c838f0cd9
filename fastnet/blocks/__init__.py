"""Each formula once, as a block function: compiled, serial, on a range of rows, columns or elements.

The public kernels and the training step are both made of these. They check nothing, allocate nothing and never raise:
the caller keeps the indices inside the arrays. In loops from `start` to `stop` a slice is taken first: numba tests each
index that it cannot see to be at least 0, and such a loop stays scalar.
"""
