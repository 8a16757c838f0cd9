"""What is read and written: safely, whole or not at all, and with an error that names what is wrong."""
