"""The book's chapter 4: a network with sigmoid units."""
