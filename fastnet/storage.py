"""Networks of any depth as files hold them: what :func:`fastnet.load` returns for `fastnet train`'s models."""

from .files.models import StoredModel

__all__ = ["StoredModel"]
