"""Who works at the same time: parallel regions of numba, teams of Python threads, and how many of both."""
