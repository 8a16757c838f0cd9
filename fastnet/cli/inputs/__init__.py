"""What the commands read: tables, and arrays of an .npz."""
