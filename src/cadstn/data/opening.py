"""Which data set a folder holds, and opening it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cadstn.data import icvl, msra, nyu
from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError, nearest_name

_OPEN = {"nyu": nyu.open_nyu, "icvl": icvl.open_icvl, "msra": msra.open_msra}
_KNOWN = (
    "NYU has train/ and test/ with joint_data.mat, ICVL Training/labels.txt or train.txt, MSRA15 "
    "P0/ to P8/; a recording goes to 'cadstn track'"
)


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        name: ``nyu``, ``icvl`` or ``msra``.
        root: the set's own folder, which may lie within the one that was given.
        splits: those that are there, for training first.
    """

    name: str
    root: Path
    splits: tuple[str, ...]

    def whole(self) -> tuple[str, ...]:
        """Splits that have every frame between them."""
        return ("all",) if self.name == "msra" else tuple(s for s in self.splits if "-" not in s)

    def folds(self) -> tuple[tuple[str, str], ...]:
        """Pairs of what to train on and what to test on: nine for a whole MSRA15, else one."""
        if self.name == "msra":
            there = [s.removeprefix("train-") for s in self.splits if s.startswith("train-")]
            return tuple((f"train-{subject}", f"test-{subject}") for subject in there)
        return (("train", "test"),) if {"train", "test"} <= set(self.splits) else ()


def find_dataset(path: str | Path) -> Found:
    """Say which data set a folder holds; opens no frame.

    Args:
        path: the set's folder, the one it was unpacked into, or (NYU) one of its splits.

    Raises:
        CadstnError: if it holds none, or one that is only half unpacked.
    """
    given = Path(path)
    if not given.is_dir():
        what = "is a file, not a folder" if given.exists() else "no such folder"
        raise CadstnError(what, where=given, mend="give the folder that the set was unpacked into")
    for root in (given, given / "dataset", given.parent):
        # Above the folder that was given only if that is itself a split.
        if root == given.parent and given.name not in nyu.SPLITS:
            continue
        if found := _found(root):
            if root == given.parent:
                return Found(found.name, root, (given.name,))
            return found
    for child in sorted(entry for entry in given.iterdir() if entry.is_dir()):
        if found := _found(child):
            return found
    raise CadstnError("holds no data set that is known", where=given, mend=_KNOWN)


def open_dataset(path: str | Path, split: str) -> Dataset:
    """Open one split of NYU, ICVL or MSRA15; the labels are read, the frames when asked for.

    Args:
        path: see `find_dataset`.
        split: ``train`` or ``test``; ICVL's ``train-unrotated``; for MSRA15 one of
            `cadstn.data.msra.SPLITS`, as it is tested leaving one subject out.

    Raises:
        CadstnError: if there is no such set or split, it is half unpacked, or a label is wrong.
    """
    found = find_dataset(path)
    if split not in found.splits:
        raise CadstnError(
            f"this {found.name} has no split '{split}'",
            where=found.root,
            mend=nearest_name(split, found.splits),
        )
    return _OPEN[found.name](found.root, split)


def _found(root: Path) -> Found | None:
    """The set in a folder itself, if there is one."""
    splits = _nyu_splits(root)
    if splits:
        return Found("nyu", root, splits)
    there = [split for split in ("train", "test") if icvl.find_layout(root, split)]
    if there:
        more = ("train-unrotated",) if "train" in there else ()
        return Found("icvl", root, (*there, *more))
    return _found_msra(root)


def _nyu_splits(root: Path) -> tuple[str, ...]:
    """NYU's splits that are there; a folder with frames and no labels is told of at once."""
    splits = []
    for split in nyu.SPLITS:
        folder = root / split
        if (folder / nyu.LABELS).is_file():
            splits.append(split)
        elif (folder / nyu.frame_name(0)).is_file():
            raise CadstnError(
                f"has {nyu.frame_name(0)} but not {nyu.LABELS}",
                where=folder,
                mend="unpack the whole of nyu_hand_dataset_v2.zip, of which it is a part",
            )
    return tuple(splits)


def _found_msra(root: Path) -> Found | None:
    there = msra.subjects_in(root)
    if not any((entry / "joint.txt").is_file() for s in there for entry in (root / s).iterdir()):
        if there:
            raise CadstnError(
                f"has {there[0]} but no gesture with a joint.txt in it",
                where=root,
                mend="unpack the whole set",
            )
        return None
    more = () if len(there) == 1 else (f"{kind}-{s}" for kind in ("train", "test") for s in there)
    return Found("msra", root, ("all", *there, *more))
