"""Models of tables: columns of numbers, categories and booleans, some of it missing, and a network behind them."""

from .model import TableModel

__all__ = ["TableModel"]
