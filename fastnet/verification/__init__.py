"""``fastnet.verify``: whether another class does the same, and where it begins to differ."""
