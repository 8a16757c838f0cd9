"""What the chapters of the book share: layers, optimizers and the Trainer."""
