"""How good a model is: measures, pictures, the report."""
