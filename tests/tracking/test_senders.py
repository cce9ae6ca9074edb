"""Hands sent over UDP arrive: JSON as its parser reads it, OSC as python-osc does."""

import errno
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.cli.outputs import targets
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21, ICVL16
from cadstn.tracking.angles import wrist_pose
from cadstn.tracking.cameras import LiveFrame
from cadstn.tracking.conventions import OPENXR26, to_convention
from cadstn.tracking.hand import Hand
from cadstn.tracking.live import Tracked
from cadstn.tracking.outputs.senders import Datagrams, Osc, udp_lines

CAMERA = Camera(240.0, 240.0, 159.5, 119.5, 320, 240)
DEMO = Path(__file__).resolve().parents[2] / "src/cadstn/demo"


class Listener:
    """A socket on this machine that keeps what it receives."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def take(self) -> bytes:
        return self.socket.recv(65536)


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.socket.close()


def seen(side: str = "left", found: bool = True) -> Tracked:
    """A frame of two hands, the first one there and the second one lost."""
    joints = np.random.default_rng(0).uniform((-60, -60, 440), (60, 60, 560), (21, 3))
    nan = np.full(21, np.nan, np.float32)
    lost = Hand(
        np.full((21, 3), np.nan, np.float32), False, "lost", 0.0, np.full(3, np.nan), 200.0, nan,
        np.zeros(21, np.float32), nan, float("nan"), "unknown", 1.25,
    )  # fmt: skip
    there = replace(
        lost, joints_mm=joints.astype(np.float32), found=True, how="found", side=side,
        center_mm=joints.mean(0), uncertainty_mm=np.ones(21, np.float32), present=0.9,
    )  # fmt: skip
    frame = LiveFrame(np.zeros((240, 320), np.float32), CAMERA, 1.25, 7)
    return Tracked(frame, (there if found else lost, lost), 3.0, 0)


def messages(data: bytes) -> dict[str, Any]:
    osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="needs cadstn[osc]")
    assert osc_bundle.OscBundle.dgram_is_bundle(data)
    return {message.address: message.params for message in osc_bundle.OscBundle(data)}


def test_json_arrives_one_object_a_datagram(listener: Listener) -> None:
    target = Datagrams(listener.address)
    send = udp_lines(target, HAND21, "hand21", False)
    assert json.loads(listener.take()) == {"skeleton": "hand21", "joints": list(HAND21.joints)}
    frame = seen()
    send(frame)
    first, second = (json.loads(listener.take()) for _ in range(2))
    assert (first["frame"], first["hand"], first["side"]) == (7, 0, "left")
    np.testing.assert_allclose(first["joints_mm"], frame.hand.joints_mm, atol=0.006)
    assert (second["found"], second["joints_mm"]) == (False, None)
    target.close()


def test_osc_arrives_as_python_osc_reads_it(listener: Listener) -> None:
    target = Datagrams(listener.address)
    Osc(target, HAND21, pose=True)(frame := seen())
    first, second = messages(listener.take()), messages(listener.take())
    joints = frame.hand.joints_mm
    for k, name in enumerate(HAND21.joints):
        np.testing.assert_allclose(first[f"/cadstn/hand/0/joint/{name}"], joints[k], rtol=1e-6)
    wrist = wrist_pose(joints, "left")
    np.testing.assert_allclose(
        first["/cadstn/hand/0/wrist"], [*wrist.position_mm, *wrist.quaternion], rtol=1e-5
    )
    assert first["/cadstn/hand/0/found"] == [1]
    assert first["/cadstn/hand/0/side"] == ["left"]
    assert first["/cadstn/hand/0/time_s"] == [1.25]
    assert 0 <= first["/cadstn/hand/0/pinch/index"][0] <= 1
    assert "/cadstn/hand/0/angle/index_mcp_flexion" in first
    assert second == {
        "/cadstn/hand/1/time_s": [1.25], "/cadstn/hand/1/found": [0],
        "/cadstn/hand/1/identity": [-1], "/cadstn/hand/1/side": ["unknown"],
    }  # fmt: skip
    target.close()


def test_a_hand_of_an_unknown_side_has_a_pose_without_angles(listener: Listener) -> None:
    target = Datagrams(listener.address)
    frame = seen("unknown")
    send = udp_lines(target, HAND21, "hand21", True)
    listener.take()
    send(frame)
    pose = json.loads(listener.take())["pose"]
    listener.take()  # of the second hand
    assert set(pose["angles_deg"].values()) == {None}
    assert 0 <= pose["grasp"] <= 1
    Osc(target, HAND21, pose=True)(frame)
    got = messages(listener.take())
    assert "/cadstn/hand/0/grasp" in got
    assert not [name for name in got if "/angle/" in name]
    target.close()


def test_osc_in_another_order_and_of_an_unknown_side(listener: Listener) -> None:
    target = Datagrams(listener.address)
    Osc(target, HAND21, "openxr")(frame := seen("unknown"))
    got = messages(listener.take())
    xr = to_convention(frame.hand.joints_mm, HAND21, "openxr")
    for k, name in enumerate(OPENXR26):
        np.testing.assert_allclose(got[f"/cadstn/hand/0/joint/{name}"], xr[k], rtol=1e-6)
    assert "/cadstn/hand/0/wrist" not in got
    with pytest.raises(CadstnError, match="joints are icvl16"):
        Osc(target, ICVL16, pose=True)
    target.close()


@pytest.mark.parametrize("kind", ["udp", "osc"])
def test_live_sends_every_frame(listener: Listener, kind: str) -> None:
    if kind == "osc":
        pytest.importorskip("pythonosc", reason="needs cadstn[osc]")
    done = CliRunner().invoke(
        cli, ["live", str(DEMO), "--fast", f"--{kind}", listener.address, "--seconds", "0.2"],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    if kind == "udp":
        assert json.loads(listener.take())["skeleton"] == "hand21"
        assert json.loads(listener.take())["found"] is True
    else:
        assert messages(listener.take())["/cadstn/hand/0/found"] == [1]


@pytest.mark.parametrize("text", ["", "9000", "host:", ":9000", "host:0", "host:70000", "host:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CadstnError, match="no address"):
        Datagrams(text)


def test_an_unknown_host_and_ipv6() -> None:
    with pytest.raises(CadstnError, match="no host 'no such host'"):
        Datagrams("no such host:9000")
    target = Datagrams("[::1]:9000")
    assert target._address[0] == "::1"
    target.close()


def test_without_python_osc(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythonosc", None)
    target = Datagrams(listener.address)
    with pytest.raises(CadstnError, match=r"pip install 'cadstn\[osc\]'"):
        Osc(target, HAND21)
    target.close()


@pytest.mark.parametrize("kind", ["udp", "osc"])
def test_a_network_that_is_away_for_a_while_ends_nothing(listener: Listener, kind: str) -> None:
    if kind == "osc":
        pytest.importorskip("pythonosc", reason="needs cadstn[osc]")
    said: list[str] = []
    target = Datagrams(listener.address, said.append)
    send = (udp_lines if kind == "udp" else Osc)(target, HAND21, "hand21", False)

    class Away:
        def sendto(self, data: bytes, address: object) -> None:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    there, target._socket = target._socket, Away()  # type: ignore[assignment]
    send(seen())
    send(seen())
    target._socket = there
    send(seen())
    assert target.lost == 4  # two frames of two hands
    assert len(said) == 1
    assert f"{listener.address}: cannot send (Network is unreachable); tracking goes on" in said[0]
    listener.take()
    target.close()


def test_live_says_how_many_datagrams_were_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def sendto(self: object, data: bytes, address: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr("cadstn.tracking.outputs.senders.socket.socket.sendto", sendto)
    lines: list[str] = []
    given = {"osc": None, "lerobot": None, "task": None}
    network = SimpleNamespace(skeleton=HAND21)
    with targets(network, "hand21", False, lines.append, udp="127.0.0.1:9", **given) as sinks:  # type: ignore[arg-type]
        sinks[0](seen())
    assert lines[0].startswith("warning: 127.0.0.1:9: cannot send")
    assert lines[1:] == ["127.0.0.1:9: 3 datagrams could not be sent"]


def test_a_broadcast_address_is_taken() -> None:
    target = Datagrams("255.255.255.255:9")
    assert target._socket.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
    target.close()


@pytest.mark.parametrize("kind", ["udp", "osc"])
def test_live_sends_what_its_options_say(listener: Listener, kind: str) -> None:
    if kind == "osc":
        pytest.importorskip("pythonosc", reason="needs cadstn[osc]")
    given: Any = {"udp": None, "osc": None, "lerobot": None, "task": None}
    given[kind] = listener.address
    network: Any = SimpleNamespace(skeleton=HAND21)
    with targets(network, "openxr", True, print, **given) as sinks:
        sinks[0](seen())
        if kind == "udp":
            head, line = (json.loads(listener.take()) for _ in range(2))
            assert (head["skeleton"], len(line["joints_mm"])) == ("openxr", 26)
            assert 0 <= line["pose"]["grasp"] <= 1
        else:
            got = messages(listener.take())
            assert {"/cadstn/hand/0/joint/little_tip", "/cadstn/hand/0/grasp"} < set(got)
