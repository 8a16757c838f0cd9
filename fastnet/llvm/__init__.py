"""The only folder that speaks LLVM: the tile of a matrix product, vectors of exponentials, arrays on given memory."""
