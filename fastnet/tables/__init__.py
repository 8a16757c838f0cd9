"""Models of tables: columns of numbers, categories and booleans, some of it missing, and a network behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import TableModel

__all__ = ["TableModel"]


def __getattr__(name: str) -> Any:
    # Looked up when first used: a table is read, and its faults are told, without waiting for numba's import.
    if name != "TableModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .model import TableModel

    return TableModel
