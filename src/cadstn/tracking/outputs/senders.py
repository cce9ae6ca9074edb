"""Hands sent over UDP: a JSON object a datagram, or OSC bundles (the extra ``osc``)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, TextIO, cast

from cadstn.errors import CadstnError, library
from cadstn.geometry.skeleton import HAND21, Skeleton
from cadstn.tracking.angles import wrist_pose
from cadstn.tracking.conventions import CONVENTIONS, to_convention
from cadstn.tracking.gestures import describe_pose
from cadstn.tracking.hand import Hand
from cadstn.tracking.live import JsonLines, Tracked
from cadstn.tracking.records import Identities


class Datagrams:
    """Sends to an address over UDP; whether somebody listens there is not known.

    A network that is away for a while ends nothing: what cannot be sent is lost and counted.

    Args:
        target: ``HOST:PORT``, such as ``127.0.0.1:9000``, ``studio.local:9000``, ``[::1]:9000``,
            or a broadcast address.
        on_warning: called with a line on the first datagram that cannot be sent.

    Attributes:
        lost: how many could not be sent.

    Raises:
        CadstnError: if this is no address, or there is no such host.
    """

    def __init__(self, target: str, on_warning: Callable[[str], None] = lambda line: None) -> None:
        host, _, port = target.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise CadstnError(f"no address '{target}'", hint="give HOST:PORT: 127.0.0.1:9000")
        try:
            found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        except (OSError, UnicodeError) as error:
            raise CadstnError(f"no host '{host}' ({error})", hint="give its number") from None
        self.name, self._address = target, found[4]
        self._socket = socket.socket(found[0], socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._on_warning, self.lost = on_warning, 0

    def send(self, data: bytes) -> None:
        """Send one datagram, or count it as lost."""
        try:
            self._socket.sendto(data, self._address)
        except OSError as error:
            self.lost += 1
            if self.lost == 1:
                self._on_warning(
                    f"{self.name}: cannot send ({error.strerror or error}); tracking goes on: "
                    "check the network and the address"
                )

    def write(self, line: str) -> None:
        """Send a line of text, without its line end."""
        self.send(line.rstrip("\n").encode())

    def flush(self) -> None:
        """Do nothing: a datagram is sent at once."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def udp_lines(target: Datagrams, skeleton: Skeleton, convention: str, pose: bool) -> JsonLines:
    """Return what sends `JsonLines`, an object a datagram, that of the joints' names first."""
    return JsonLines(cast(TextIO, target), skeleton, convention, pose=pose)


class Osc:
    """Sends one OSC bundle a frame and hand.

    Below ``/cadstn/hand/N``, N from 0: ``found`` and ``identity`` (integers; -1 where lost),
    ``side`` and ``time_s`` (double); of a hand that is found ``joint/NAME`` (x, y, z in mm, camera
    frame) and, where its side is known, ``wrist`` (x, y, z in mm, quaternion x, y, z, w).

    Args:
        target: where to.
        skeleton: of the tracker.
        convention: names and places of the joints, see `cadstn.tracking.conventions`.
        pose: add ``angle/NAME`` (degrees), ``pinch/FINGER`` and ``grasp`` (0 to 1), ``gesture``.

    Raises:
        CadstnError: if python-osc is missing, or this skeleton cannot be put into that order.
    """

    def __init__(
        self, target: Datagrams, skeleton: Skeleton, convention: str = "hand21", pose: bool = False
    ) -> None:
        with library("OSC needs python-osc", "osc", otherwise=", or --udp"):
            from pythonosc import osc_bundle_builder, osc_message_builder
        if (pose or convention != "hand21") and skeleton != HAND21:
            raise CadstnError(f"joints are {skeleton.name}", hint="this needs those of hand21")
        self._bundles, self._messages = osc_bundle_builder, osc_message_builder
        self._target, self._skeleton, self._convention = target, skeleton, convention
        self._names = skeleton.joints if convention == "hand21" else CONVENTIONS[convention]
        self._pose, self._identities = pose, Identities()

    def __call__(self, seen: Tracked) -> None:
        """Send a frame."""
        for place, hand in enumerate(seen.hands):
            identity = self._identities(place, hand)
            values: dict[str, list[Any]] = {
                "found": [int(hand.found)],
                "identity": [-1 if identity is None else identity],
                "side": [hand.side],
                **(self._of_hand(hand) if hand.found else {}),
            }
            bundle = self._bundles.OscBundleBuilder(self._bundles.IMMEDIATELY)
            bundle.add_content(self._message(place, "time_s", [(seen.frame.time_s, "d")]))
            for name, parts in values.items():
                bundle.add_content(self._message(place, name, [(part, None) for part in parts]))
            self._target.send(bundle.build().dgram)

    def _of_hand(self, hand: Hand) -> dict[str, list[Any]]:
        joints = hand.joints_mm
        if self._convention != "hand21":
            joints = to_convention(joints, self._skeleton, self._convention)
        values: dict[str, list[Any]] = {
            f"joint/{name}": joint for name, joint in zip(self._names, joints.tolist(), strict=True)
        }
        if self._skeleton == HAND21 and hand.side != "unknown":
            wrist = wrist_pose(hand.joints_mm, hand.side)
            values["wrist"] = [*wrist.position_mm.tolist(), *wrist.quaternion.tolist()]
        if self._pose:
            pose = describe_pose(hand.joints_mm, hand.side)
            angles = pose["angles_deg"].items()
            values |= {f"angle/{name}": [angle] for name, angle in angles if angle is not None}
            values |= {f"pinch/{finger}": [much] for finger, much in pose["pinch"].items()}
            values |= {"grasp": [pose["grasp"]], "gesture": [pose["gesture"] or ""]}
        return values

    def _message(self, place: int, name: str, parts: list[tuple[Any, str | None]]) -> Any:
        message = self._messages.OscMessageBuilder(f"/cadstn/hand/{place}/{name}")
        for part, kind in parts:
            message.add_arg(part, kind)
        return message.build()
