"""A real vLLM server as a process of its own, on the loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_SECONDS = 540.0
STOP_SECONDS = 10.0
MODEL = "gemma"
ARGS: Mapping[str, Any] = {
    "dtype": "float32",
    "max_model_len": 8192,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 1024,
    "enforce_eager": True,
}
"""Of every vLLM here. float32: many a CPU has no instructions for bfloat16, and takes five times as long over it. Small
steps: a slow machine too takes a few seconds for one, or it would look hung.
"""


@contextmanager
def vllm_server(model: Path, log: Path, **args: Any) -> Iterator[str]:
    """Hold a server of these weights; give its base URL. Its log goes to a file, and its end into the error.

    `args`: instead of those in ARGS.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outputs = {"backend": "xgrammar", "disable_any_whitespace": True}
    command = (
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)),
        *("--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)),
        *("--block-size", "32", *_flags({**ARGS, **args})),
        *("--scheduling-policy", "priority", "--structured-outputs-config", json.dumps(outputs)),
        "--enable-prompt-tokens-details",
    )
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True, env=os.environ)  # noqa: S603
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _end(process)


def _flags(args: Mapping[str, Any]) -> Iterator[str]:
    for name, value in args.items():
        yield f"--{name.replace('_', '-')}"
        if value is not True:
            yield str(value)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own
            return
        time.sleep(0.5)
    tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-30:])
    raise RuntimeError(f"the vLLM server is not up (status {process.poll()}):\n{tail}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The whole session of the process: its engine core and workers too."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
