"""Networks as files of plain SGD and of older versions hold them; :func:`fastnet.load` makes a TableModel of one."""

from .files.models import StoredModel

__all__ = ["StoredModel"]
