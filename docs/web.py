"""Put the page that tracks in the browser together, and serve it: `make web`.

The page is `src/cadstn/web`; beside it come onnxruntime-web, the whole tracker as one ONNX graph
and the packaged recording. Any web server can serve the folder. This one adds the two headers with
which browsers give WebAssembly threads.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import onnxruntime

ROOT = Path(__file__).resolve().parents[1]
_LIBRARY = ROOT / "node_modules/onnxruntime-web/dist"
#: onnxruntime-web's own names: for WebAssembly alone, and for WebGPU.
_LIBRARY_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)


#: In every build's main.js: a folder that holds it is a page of ours, which may be replaced.
_OURS = "cadstn live --serve"


def build(out: Path, graph: Path | None) -> None:
    """Write the page's folder, which appears whole or not at all.

    Args:
        out: new, empty, or with an earlier page; that one goes when the new one is whole.
        graph: an exported one; None for that of the package.

    Raises:
        click.ClickException: if something else is at ``out``.
    """
    out = out.resolve()
    _check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        _fill(new, graph)
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise


def _check_out(out: Path) -> None:
    """Refuse to replace anything but a page, or the one that `make docs` puts in its place."""
    sources = ROOT / "src/cadstn/web"
    if out.exists() and not out.is_dir():
        raise click.ClickException(f"{out} is no folder; give another OUT")
    if out == sources or sources in out.parents:
        raise click.ClickException(f"{out} holds the page's sources; give another OUT")
    main, held = out / "main.js", [file.name for file in out.iterdir()] if out.exists() else []
    ours = main.is_file() and _OURS in main.read_text(encoding="utf-8", errors="replace")
    if held == ["index.html"]:
        ours = (out / held[0]).read_bytes() == (ROOT / "docs/web/index.html").read_bytes()
    if held and not ours:
        raise click.ClickException(
            f"{out} holds files that are none of the page; give a new or empty folder"
        )


def _fill(out: Path, graph: Path | None) -> None:
    package = ROOT / "src/cadstn"
    shutil.copytree(package / "web", out)
    (out / "ort").mkdir()
    for name in _LIBRARY_FILES:
        # With their times: browsers keep compiled code as long as a file's time stays the same.
        shutil.copy2(_LIBRARY / name, out / "ort")
    with zipfile.ZipFile(out / "demo.zip", "w") as archive:  # PNGs do not get smaller
        for file in (*sorted((package / "demo").glob("*.png")), package / "demo/camera.json"):
            archive.write(file, file.name)
    with tempfile.TemporaryDirectory() as folder:
        if graph is None:
            graph = Path(folder) / "hand.onnx"
            command = [sys.executable, "-m", "cadstn.cli", "export", "--whole", str(graph)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _optimise(graph, out / "hand.onnx")


def _optimise(graph: Path, out: Path) -> None:
    """Do here what a session does to a graph at its start; the page's then leaves it as it is."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(out)
    # Convolutions in blocks of channels are for this machine's processor, not for WebAssembly.
    onnxruntime.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["NchwcTransformer"],
    )


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for all files
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    log_message: Callable[..., None] = lambda *_: None


@click.command()
@click.argument("out", type=click.Path(path_type=Path), default=ROOT / "site/web")
@click.option("--graph", type=click.Path(path_type=Path, exists=True), help="An exported graph.")
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    help="Serve the folder at this port of 127.0.0.1, until Ctrl-C.",
)
def main(out: Path, graph: Path | None, serve: int | None) -> None:
    """Build the page into OUT: a new or empty folder, or that of an earlier page."""
    # The port is taken first: the build takes long.
    with nullcontext() if serve is None else _server(out, serve) as server:
        build(out, graph)
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        click.echo(f"wrote {out} ({size / 1e6:.0f} MB)")
        if server is not None:
            click.echo(f"open http://127.0.0.1:{server.server_port}/", err=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()


def _server(out: Path, port: int) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(out)))
    except OSError as error:
        raise click.ClickException(
            f"port {port}: {error.strerror}; give another, as in 'make web PORT=9000'"
        ) from None


if __name__ == "__main__":
    main()
