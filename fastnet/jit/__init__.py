"""How Python becomes machine code: a decorator for each kind of function, and the disk cache of what was compiled."""
