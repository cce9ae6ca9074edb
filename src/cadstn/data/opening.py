"""Which data set a folder holds, and opening it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cadstn.data import dexycb, hands2017, icvl, msra, nyu, recordings
from cadstn.data.dataset import Dataset
from cadstn.data.registry import Pairs, Reader
from cadstn.errors import CadstnError, nearest_name

#: The data sets that can be opened, by name; a folder is given to the readers in this order.
READERS: dict[str, Reader] = {
    reader.name: reader for reader in (
        nyu.READER, icvl.READER, msra.READER, hands2017.READER, dexycb.READER, recordings.READER,
    )
}  # fmt: skip

#: Frames of a set are read in any order by many processes, which an array in an archive is not for.
_NPZ_HINT = "an .npz recording with truth is no set: write_recording its frames into a folder"


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    name: str  # of the reader, see `READERS`
    root: Path  # the set's own folder, which may lie within the one that was given
    splits: tuple[str, ...]  # those that are there, for training first

    def whole(self) -> tuple[str, ...]:
        """Splits that hold every frame once."""
        return READERS[self.name].whole(self.splits)

    def folds(self) -> Pairs:
        """Pairs of what to train on and what to test on: nine for a whole MSRA15, else one."""
        return READERS[self.name].folds(self.splits)


def find_dataset(path: str | Path) -> Found:
    """Find which data set a folder holds; opens no frame.

    ``path`` is the set's folder, the one it was unpacked into, or (NYU) one of its splits.

    Raises:
        CadstnError: if it holds none, or one that is only half unpacked.
    """
    given = Path(path)
    if not given.is_dir():
        what = "is a file, not a folder" if given.exists() else "no such folder"
        hint = "give the folder that the set was unpacked into"
        raise CadstnError(what, where=given, hint=_NPZ_HINT if given.suffix == ".npz" else hint)
    for root in (given, given / "dataset"):
        if found := _found(root):
            return found
    # Above the folder that was given only if that is itself a split.
    if given.name in nyu.SPLITS and (found := _found(given.parent)):
        return Found(found.name, given.parent, (given.name,))
    for child in sorted(entry for entry in given.iterdir() if entry.is_dir()):
        if found := _found(child):
            return found
    known = "; ".join(f"{name} by {reader.recognised_by}" for name, reader in READERS.items())
    if any(file.suffix == ".npz" for file in given.iterdir()):
        known = f"{known}; {_NPZ_HINT}"
    raise CadstnError("holds no data set that is known", where=given, hint=f"recognised: {known}")


def open_dataset(path: str | Path, split: str) -> Dataset:
    """Open one split of a set; the labels are read now, each frame when it is used.

    Args:
        path: see `find_dataset`.
        split: ``train`` or ``test``; what else a set has is in its reader's module.

    Raises:
        CadstnError: if there is no such set or split, it is half unpacked, or a label is wrong.
    """
    found = find_dataset(path)
    if split not in found.splits:
        raise CadstnError(
            f"no split '{split}' in this set ({found.name})",
            where=found.root,
            hint=nearest_name(split, found.splits),
        )
    return READERS[found.name].open(found.root, split)


def _found(root: Path) -> Found | None:
    """The set in a folder itself, if there is one."""
    for reader in READERS.values():
        if root.is_dir() and (splits := reader.find(root)):
            return Found(reader.name, root, splits)
    return None
