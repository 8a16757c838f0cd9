"""Each formula once, as a block function: compiled, serial, on a range of rows, columns or elements."""
