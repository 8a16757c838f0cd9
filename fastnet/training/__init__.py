"""A run of training: minibatches, the loop, Ctrl-C, histories and checkpoints."""
