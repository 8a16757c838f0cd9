"""The book's chapter 5: a network of layers, with ReLU."""
