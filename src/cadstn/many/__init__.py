"""Many recordings tracked, or shards rendered, by many processes or machines (Dask)."""

from cadstn.many.manifest import Entry, read_manifest
from cadstn.many.recordings import track_many
from cadstn.many.shards import render_shards
from cadstn.many.table import Row

__all__ = ["Entry", "Row", "read_manifest", "render_shards", "track_many"]
