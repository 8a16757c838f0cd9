"""How ``fastnet train`` trains: with Adam, or with plain SGD."""
