"""Every write, rename and fsync of the commands fails, and kills, in turn: old or new, never mixed.

As SQLite's tests do: a command runs once to count its steps on the disk, and then again and again,
with a full disk or a kill at another step each time; on a real small disk the pages that are left
take the place of steps. After each, what is there is old or new and the same command gets through.
``CADSTN_FAULTS=all`` tries every step and prints how many there were, a number so many a command.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.evaluate import write_joints_uvd
from cadstn.geometry.camera import Camera
from cadstn.io import write_recording
from cadstn.io.folder import check_hashes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
_STEPS = os.environ.get("CADSTN_FAULTS", "")
_PAGE = 4096
_NEVER = -1


class Ended(NamedTuple):
    """How a command ended: exit code, what it printed, and at how many steps it came by."""

    code: int
    text: str
    steps: int


Run = Callable[[Path, Sequence[str], int, bool], Ended]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a command that fails, or is killed, at a step."""
    yield from runs()


@pytest.fixture(scope="module")
def run_torch() -> Iterator[Run]:
    """The same of commands that need torch, which takes seconds to import."""
    pytest.importorskip("torch")
    lazy = ("torch._dynamo", "torch.onnx._internal.exporter._core",
            "onnxscript.function_libs.torch_lib.ops")  # fmt: skip
    rooms = ("cadstn.train", "cadstn.export", "cadstn.reproduce", "cadstn.synth")
    yield from runs("torch", *lazy, *rooms)


def runs(*modules: str) -> Iterator[Run]:
    """Start the process that runs commands, with modules imported before."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("inject.py")), *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def order(root: Path, command: Sequence[str], at: int, kill: bool) -> Ended:
            log, count = root.parent / "log.txt", root.parent / "count.txt"
            count.unlink(missing_ok=True)
            words = [word.replace("{root}", str(root)) for word in command]
            wish = {"root": str(root), "command": words, "at": at, "kill": kill,
                    "log": str(log), "count": str(count)}  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(wish) + "\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            seen = int(json.loads(count.read_text())[0]) if count.exists() else -1
            return Ended(code, log.read_text(errors="replace"), seen)

        yield order
        process.stdin.close()


def snapshot(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder, by name."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(contents(p)).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def contents(path: Path) -> bytes:
    """Bytes of a file; of safetensors without their header's order, which changes by itself."""
    data = path.read_bytes()
    if path.suffix != ".safetensors":
        return data
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"].pop("sha256", None)
    return json.dumps(header, sort_keys=True).encode() + data[start:]


def leftovers(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.name.endswith((".tmp", ".part"))]


def chosen(steps: int, few: int) -> list[int]:
    """Which of so many steps to fail at: all, or some that are spread evenly."""
    if _STEPS == "all":
        return list(range(steps))
    count = min(steps, int(_STEPS or few))
    return sorted({round((k + 0.5) * steps / count) % steps for k in range(count)})


def is_one_line(text: str) -> bool:
    """Whether a command ended with one clear line of an error."""
    lines = text.strip().splitlines()
    return (
        lines[-1].startswith("error: ")
        and sum(line.startswith("error: ") for line in lines) == 1
        and "Traceback" not in text
        and "Exception ignored" not in text
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two frames."""
    path = tmp_path_factory.mktemp("clip") / "clip"
    units = np.random.default_rng(1).integers(400, 900, (2, 24, 32)).astype(np.uint16)
    write_recording(path, units, Camera(30.0, 30.0, 16.0, 12.0))
    return path


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
@pytest.mark.parametrize("other", [False, True], ids=["alone", "with files of the user"])
def test_track(run: Run, clip: Path, tmp_path: Path, kill: bool, other: bool) -> None:
    root = tmp_path / "root"
    out = root / "out"
    command = ["track", str(clip), "--out", str(out)]
    root.mkdir()
    assert run(root, command, _NEVER, False).code == 0
    held_before = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(held_before | {"old": True}))
    if other:
        (out / "mine.txt").write_text("mine")
    old = snapshot(out)
    shutil.copytree(out, tmp_path / "old")
    steps = run(root, command, _NEVER, False).steps
    for at in chosen(steps, 4):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "old", out)
        code, text, _ = run(root, command, at, kill)
        held = snapshot(out)
        if kill:
            assert code == -signal.SIGKILL
            whole = (
                held == old or '"old"' not in (out / "summary.json").read_text()
                if (out / "summary.json").exists()
                else other
            )
            assert whole, f"mixed at step {at}"
        elif code != 0:  # a failure after the new result is in place changes nothing
            assert code == 2, text
            assert is_one_line(text), text
            assert held == old or other, f"the old result changed at step {at}"
        if (out / "summary.json").exists():
            for name in ("joints.npz", "joints.csv"):
                check_hashes(out / name)
        if other:
            assert (out / "mine.txt").read_text() == "mine"
    assert run(root, command, _NEVER, False).code == 0
    assert leftovers(root) == []
    print(f"track, {steps} steps")


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
def test_live(run: Run, clip: Path, tmp_path: Path, kill: bool) -> None:
    root = tmp_path / "root"
    out = root / "out"
    out.mkdir(parents=True)
    command = ["live", str(clip), "--fast", "--out", str(out)]
    old = "old lines\n"
    steps = run(root, command, _NEVER, False).steps
    for at in chosen(steps, 3):
        (out / "joints.jsonl").write_text(old)
        code, text, _ = run(root, command, at, kill)
        lines = (out / "joints.jsonl").read_text()
        assert code in ((-signal.SIGKILL,) if kill else (0, 2)), text
        assert code != 2 or is_one_line(text), text
        assert lines == old or len([json.loads(line) for line in lines.splitlines()]) == 3
    assert run(root, command, _NEVER, False).code == 0
    lines = (out / "joints.jsonl").read_text()
    assert len([json.loads(line) for line in lines.splitlines()]) == 3  # what they hold comes first
    # What the sessions in between left is kept, under other names.
    left = {path.name for path in out.iterdir()} - {"joints.jsonl", "live.webm"}
    assert all(re.fullmatch(r"(joints|live)-[1-9]\.(jsonl|webm)", name) for name in left)
    print(f"live: {steps} steps")


TINY = [
    "net.size=16", "net.slices=2", "net.channels=[2,4,4]", "net.width=8", "net.hidden=8", "clip=2",
    "validation_frames=4", "spatial.steps=2", "temporal.steps=2", "fusion.steps=2",
    "spatial.batch=4", "temporal.batch=4", "fusion.batch=4", "baseline.steps=1", "sliced.steps=1",
    "baseline.batch=4", "sliced.batch=4",
]  # fmt: skip


SETTINGS = tuple(word for text in TINY for word in ("--set", text))
SIZE = SETTINGS[:2]  # of crops: all that a bank follows


@pytest.fixture(scope="module")
def prepared(run_torch: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, a finished run on it, a small data set and tracked joints, which others read."""
    folder = tmp_path_factory.mktemp("prepared")
    for words in (
        ["bank", "{root}/a.bank", "--clips", "4", "--frames", "2", "--kind", "tiny", *SIZE],
        ["train", "tiny", "--data", "{root}/a.bank", "--out", "{root}/run", *SETTINGS],
        ["synth", "{root}/hand", "--frames", "2"],
        ["track", "{root}/hand", "--out", "{root}/t", "--no-video"],
        ["synth", "{root}/icvl", "--layout", "icvl", "--train", "20", "--test", "4"],
    ):
        code, text, _ = run_torch(folder, words, _NEVER, False)
        assert code == 0, text
    rng = np.random.default_rng(1)
    for name in ("a", "b", "groundtruth"):
        write_joints_uvd(folder / f"{name}.txt", rng.normal((160, 120, 400), 5, (1596, 16, 3)))
    return folder


@dataclass(frozen=True)
class Case:
    """A command that writes below ``{root}``.

    Attributes:
        words: of the command; ``{in}`` is what is prepared, ``{clip}`` a recording.
        old: files that are there before.
        text: of these files.
        goes_on: files that it leaves for the same command to go on with; a pattern.
        timed: files that differ from run to run by the time that something took; a pattern.
        without: files that a kill may leave absent, though an old one was there; a pattern.
        begun: words of a command that is run first and whose files stay.
        few: steps of each kind that are tried if not all are; a case of none waits for all.
        needs: a library.
    """

    words: tuple[str, ...]
    old: tuple[str, ...] = ()
    text: str = "old"
    goes_on: str = "$^"
    timed: str = "$^"
    without: str = "$^"
    begun: tuple[str, ...] = ()
    few: int = 0
    needs: str = "torch"


_LOGS = r".*(log\.jsonl|tensorboard/.*)"
_REPRODUCE = ("reproduce", "--data", "{in}/icvl", "--out", "{root}/out", "--recipe", "tiny",
              *SETTINGS)  # fmt: skip
CASES = {
    "compare": Case(("compare", "--set", "icvl", "{in}/a.txt", "{in}/b.txt", "--out", "{root}/out"),
                    old=("out/compare-icvl.html", "out/compare-icvl.md"), needs="matplotlib"),
    "predict": Case(("predict", "{in}/run", "--data", "{in}/icvl", "--centre", "truth", "--out",
                     "{root}/a.txt", "--truth", "{root}/b.npz"), old=("a.txt", "b.npz"),
                    text="", few=1),
    "export": Case(("export", "{in}/run", "--out", "{root}/hand.onnx"), old=("hand.onnx",), few=1),
    "export --whole": Case(("export", "--whole", "{root}/a.onnx"), old=("a.onnx", "a.json"),
                           without=r"a\.json"),
    "retarget": Case(("retarget", "{in}/t/joints.npz", "--hand", "leap", "--out",
                      "{root}/a.csv"), old=("a.csv",), needs="dexi_rs", few=1),
    "live --lerobot": Case(("live", "{clip}", "--fast", "--lerobot", "{root}/set"),
                           needs="pyarrow", few=1),
    "synth": Case(("synth", "{root}/a", "--frames", "2", "--seed", "3"),
                  goes_on=r"a\.part/.*", few=1),
    "synth --layout": Case(("synth", "{root}/set", "--layout", "icvl", "--train", "10",
                            "--test", "2")),
    "synth --preview": Case(("synth", "{root}/out", "--preview")),
    "bank": Case(("bank", "{root}/b.bank", "--clips", "2", "--frames", "2", "--kind", "tiny",
                  *SIZE), goes_on=r"b\.bank\.part", few=1),
    "train": Case(("train", "tiny", "--data", "{in}/a.bank", "--out", "{root}/run", *SETTINGS),
                  goes_on=r".*checkpoint.*", timed=_LOGS, few=1),
    "train detector": Case(("train", "detector", "--out", "{root}/run", "--set", "frames=4",
                            "--set", "steps=2", "--set", "again=1", "--set", "rounds=1", "--set",
                            "batch=2", "--set", "warmup=1", "--set", "bf16=false"),
                           goes_on=r".*checkpoint.*"),
    "reproduce, trained": Case(_REPRODUCE, timed=_LOGS + r"|.*report\.(md|html)", begun=_REPRODUCE),
}  # fmt: skip


class Bench(NamedTuple):
    """A case that is ready to be tried."""

    case: Case
    command: tuple[str, ...]
    run: Run
    root: Path
    new: dict[str, str]
    steps: int

    def reset(self) -> None:
        """Put back what was there before the command."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.root.parent / "old", self.root, dirs_exist_ok=True)

    def check(self, code: int, text: str, why: str) -> None:
        """What is there is old or new, the same command gets through, and nothing else stays."""
        held, before = self.outputs(), snapshot(self.root.parent / "old")
        for name, digest in held.items():
            known = (before.get(name), self.new.get(name))
            is_whole = re.fullmatch(self.case.timed, name) and not name.endswith(".html")
            assert digest in known or is_whole or self.is_page(name), f"{name} is mixed, {why}"
        gone = [n for n in before if n not in held and not re.fullmatch(self.case.without, n)]
        assert not gone, f"{gone} are gone, {why}"
        left = [f"{path.relative_to(self.root)}/" for path in leftovers(self.root)]
        if code == 2:
            assert is_one_line(text), f"{why}: {text}"
            assert [name for name in left if not re.match(self.case.goes_on, name)] == [], why
        if held == self.new and not left:
            return  # it came too late to matter; some commands refuse to write again
        again = self.run(self.root, self.command, _NEVER, False)
        assert again.code == 0, f"stuck {why}: {again.text}"
        kept = {n: h for n, h in self.outputs().items() if not re.fullmatch(self.case.timed, n)}
        due = {n: h for n, h in self.new.items() if not re.fullmatch(self.case.timed, n)}
        assert kept == due, f"another result {why}"
        assert leftovers(self.root) == [], why

    def is_page(self, name: str) -> bool:
        """Whether a page that states times is whole."""
        return name.endswith(".html") and (self.root / name).read_text().endswith("</html>\n")

    def outputs(self) -> dict[str, str]:
        """Hashes of what is there, but for temporary files and what only serves to go on."""
        return {
            name: digest
            for name, digest in snapshot(self.root).items()
            if not re.search(r"\.tmp(/|$)", name) and not re.fullmatch(self.case.goes_on, name)
        }


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, prepared: Path, clip: Path, run_torch: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:  # fmt: skip
    """The case of a test, run once."""
    case = CASES[request.param]
    small = "disk" in request.node.name
    if not _STEPS and (case.few == 0 or (small and case.needs != "pyarrow")):
        pytest.skip("takes long: make faults")
    if find_spec(case.needs) is None:
        pytest.skip(f"needs {case.needs}")
    root = tmp_path / "root"
    root.mkdir()
    command = tuple(
        word.replace("{in}", str(prepared)).replace("{clip}", str(clip)) for word in case.words
    )
    if case.begun:
        assert run_torch(root, command, _NEVER, False).code == 0
    for name in case.old:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(case.text)
    shutil.copytree(root, tmp_path / "old")
    code, text, steps = run_torch(root, command, _NEVER, False)
    assert code == 0, text
    assert leftovers(root) == []
    ready = Bench(case, command, run_torch, root, {}, steps)
    return ready._replace(new=ready.outputs())


@pytest.mark.parametrize("bench", CASES, indirect=True)
def test_old_or_new(bench: Bench) -> None:
    for kill in (False, True):
        for at in chosen(bench.steps, bench.case.few):
            bench.reset()
            code, text, _ = bench.run(bench.root, bench.command, at, kill)
            assert code in ((-signal.SIGKILL,) if kill else (0, 2)), f"step {at}: {text}"
            bench.check(code, text, f"{'killed' if kill else 'full'} at {at} of {bench.steps}")
    print(f"{' '.join(bench.case.words[:3])}: {bench.steps} steps")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("bench", CASES, indirect=True)
def test_on_a_small_disk(bench: Bench) -> None:
    old = bench.root.parent / "old"
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file()) + (64 << 20)
    if not small_disk(bench.root, size // 1024):
        pytest.skip("no tmpfs can be mounted here")
    try:
        bench.reset()
        pages, tried = 0, 0
        while True:
            with (bench.root / "filler").open("wb") as filler:
                free = os.statvfs(bench.root).f_bavail
                os.posix_fallocate(filler.fileno(), 0, (free - pages) * _PAGE)
            code, text, _ = bench.run(bench.root, bench.command, _NEVER, False)
            (bench.root / "filler").unlink()
            assert code in (0, 2), f"{pages} pages: {text}"
            if code == 0:
                break
            bench.check(code, text, f"with {pages} pages left")
            bench.reset()
            tried += 1
            pages += max(1, pages // 8 if _STEPS == "all" else 15 * pages + 1)
    finally:
        subprocess.run(["umount", str(bench.root)], check=True)
    print(f"{' '.join(bench.case.words[:3])}: {tried} sizes of a disk")


def test_a_training_logs_each_step_once(run_torch: Run, prepared: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    order = [word.replace("{in}", str(prepared)) for word in CASES["train"].words]
    steps = run_torch(root, order, _NEVER, False).steps
    for at in chosen(steps, 3):
        shutil.rmtree(root)
        root.mkdir()
        run_torch(root, order, at, True)
        assert run_torch(root, order, _NEVER, False).code == 0
        text = (root / "run" / "log.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        places = [(line["stage"], line["step"]) for line in lines]
        assert len(set(places)) == len(places), f"lines twice after step {at}"


def small_disk(folder: Path, kilobytes: int) -> bool:
    folder.mkdir(exist_ok=True)
    options = f"size={kilobytes}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("kilobytes", [4, 32, 64, 96])
def test_a_small_disk(run: Run, clip: Path, tmp_path: Path, kilobytes: int) -> None:
    root = tmp_path / "disk"
    if not small_disk(root, kilobytes):
        pytest.skip("no tmpfs can be mounted here")
    try:
        (root / "out").mkdir()
        (root / "out" / "summary.json").write_text('{"files": {}}')
        track = ["track", str(clip), "--out", str(root / "out")]
        code, text, _ = run(root, track, _NEVER, False)
        if code == 0:
            assert (root / "out" / "joints.npz").stat().st_size > 0
        else:
            assert code == 2, text
            assert is_one_line(text), text
            assert snapshot(root / "out") == {
                "summary.json": hashlib.sha256(b'{"files": {}}').hexdigest()
            }
            assert leftovers(root) == []
        with pytest.raises(CadstnError, match=r"No space left|cannot write"):
            write_recording(root / "big", np.random.default_rng(0).integers(
                1, 65000, (4, 300, 300), dtype=np.uint16), Camera(9, 9, 9, 9))  # fmt: skip
        assert not (root / "big").exists()
    finally:
        subprocess.run(["umount", str(root)], check=True)
