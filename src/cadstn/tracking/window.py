"""A plain window on the screen, with nothing to install: Tk, which comes with Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError

_TITLE = "cadstn: q or Esc ends it"
_ELSEWHERE = "view it elsewhere: --view browser, --view file --out DIR, or --out DIR for a video"


def need_display() -> None:
    """Raise CadstnError where no window can be opened: a Linux without a display, as over ssh."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise CadstnError("there is no display to open a window on", hint=_ELSEWHERE)


class PlainWindow:
    """Shows pictures, one after the other, until it is closed.

    Attributes:
        closed: whether the user has closed it, or pressed q or Esc.
        url: None: no browser is needed.

    Raises:
        CadstnError: if there is no display, or this Python has no Tk.
    """

    url: str | None = None

    def __init__(self) -> None:
        need_display()
        try:
            import tkinter
        except ImportError as cause:  # some Linux distributions leave it out
            raise CadstnError(
                f"a plain window needs Tk ({cause})",
                hint=f"install it (Debian: apt install python3-tk), or {_ELSEWHERE}",
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise CadstnError(f"no window can be opened ({error})", hint=_ELSEWHERE) from None
        self.closed = False
        self._tk = tkinter
        self._photo: Any = None
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._root.title(_TITLE)
        self._root.resizable(False, False)
        self._root.protocol("WM_DELETE_WINDOW", self._end)
        for key in ("q", "<Escape>"):
            self._root.bind(key, self._end)

    def __call__(self, seen: object, picture: Callable[[], NDArray[np.uint8]]) -> None:
        """Show a (H, W, 3) picture, blue green red, and see to what the user did meanwhile."""
        if self.closed:
            return
        shown = picture()
        height, width = shown.shape[:2]
        # PPM, because Tk takes several times as long to read a PNG.
        pixels = cv2.cvtColor(shown, cv2.COLOR_BGR2RGB).tobytes()
        data = f"P6 {width} {height} 255 ".encode() + pixels
        photo = self._tk.PhotoImage(master=self._root, data=data, format="ppm")
        self._label.configure(image=photo)
        self._photo = photo  # Tk does not keep it alive
        self._root.update()

    def close(self) -> None:
        """Take it off the screen."""
        self._photo = None
        self._root.destroy()

    def _end(self, event: object = None) -> None:
        self.closed = True
