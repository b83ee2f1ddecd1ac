"""What the driver's command says of the GPUs, and silence where there is none."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.device import smallest_gpu_gib


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer of another test, no choice from outside."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    smallest_gpu_gib.cache_clear()
    yield
    smallest_gpu_gib.cache_clear()


def _driver(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_smallest_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model spread over two GPUs has no more on either than the smaller one holds."""
    _driver(tmp_path, monkeypatch, "echo 81559; echo 24564")
    assert smallest_gpu_gib() == 24564 / 1024


def test_only_visible_devices_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the driver's own option."""
    _driver(tmp_path, monkeypatch, 'case "$*" in *"--id 1") echo 81559;; *) echo 24564;; esac')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert smallest_gpu_gib() == 81559 / 1024


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found", "true"])
def test_no_gpu_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A driver without a device fails, or says so in words."""
    _driver(tmp_path, monkeypatch, script)
    assert smallest_gpu_gib() is None


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """The engine could not use them either."""
    _driver(tmp_path, monkeypatch, "echo 81559")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert smallest_gpu_gib() is None


def test_no_driver_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most machines."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smallest_gpu_gib() is None
