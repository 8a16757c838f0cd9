"""The networks of the course, in the files that it has them in."""
