"""docs/web.py builds the page whole or not at all, and replaces nothing but a page."""

import importlib.util
import socket
import threading
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a library of empty files, and no optimiser."""
    spec = importlib.util.spec_from_file_location("docs_web", ROOT / "docs/web.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    library = tmp_path / "library"
    library.mkdir()
    for name in module._LIBRARY_FILES:
        (library / name).touch()
    (tmp_path / "graph.onnx").write_bytes(b"graph")
    monkeypatch.setattr(module, "_LIBRARY", library)
    monkeypatch.setattr(module, "_optimise", lambda graph, out: out.write_bytes(graph.read_bytes()))
    return module


def built(web: ModuleType, out: Path, *options: str) -> str:
    """Run it; what it prints if it refuses, else nothing."""
    graph = str(web._LIBRARY.parent / "graph.onnx")
    arguments = [str(out), "--graph", graph, *options]
    done = CliRunner().invoke(web.main, arguments, catch_exceptions=False)
    return done.output if done.exit_code else ""


def test_a_page_is_built_and_built_again(web: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "page"
    assert not built(web, out)
    (out / "of-an-older-build.js").touch()
    assert not built(web, out)
    names = {path.name for path in out.iterdir()}
    assert {"main.js", "ort", "demo.zip", "hand.onnx", "index.html"} <= names
    assert "of-an-older-build.js" not in names
    assert {path.name for path in tmp_path.iterdir()} == {"page", "library", "graph.onnx"}


def test_the_page_is_served_with_what_threads_need(web: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "page"
    assert not built(web, out)
    with web._server(out, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        asked.request("GET", "/ort/ort.wasm.min.mjs", headers={"Connection": "close"})
        answer = asked.getresponse()
        answer.read()
        asked.close()
        server.shutdown()
    assert answer.status == 200
    assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
    assert answer.getheader("Cross-Origin-Embedder-Policy") == "require-corp"
    assert answer.getheader("Content-Type") == "text/javascript"


def test_the_page_that_make_docs_leaves_is_replaced(web: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "page"
    out.mkdir()
    (out / "index.html").write_bytes((ROOT / "docs/web/index.html").read_bytes())
    assert not built(web, out)
    assert (out / "main.js").is_file()


@pytest.mark.parametrize("name", ["notes.txt", "index.html", "main.js"])
def test_other_folders_are_left_as_they_are(web: ModuleType, tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text("mine", encoding="utf-8")
    assert "holds files that are none of the page" in built(web, out)
    assert [path.name for path in out.iterdir()] == [name]
    assert "is no folder" in built(web, out / name)
    assert "holds the page's sources" in built(web, ROOT / "src/cadstn/web")


def test_a_build_that_fails_leaves_the_earlier_page(
    web: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "page"
    assert not built(web, out)
    (out / "mark").touch()
    monkeypatch.setattr(web, "_LIBRARY", tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        built(web, out)
    assert (out / "mark").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"page", "library", "graph.onnx"}


def test_a_port_that_is_taken_is_named_before_the_build(web: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "page"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: Address already in use; give another" in built(
            web, out, "--serve", port
        )
    assert "70000 is not in the range" in built(web, out, "--serve", "70000")
    assert not out.exists()


def test_ctrl_c_ends_the_server_without_an_error(
    web: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(web.ThreadingHTTPServer, "serve_forever", interrupted)
    assert not built(web, tmp_path / "page", "--serve", "0")
