"""Settings from files: both sides read them, the environment wins, and nothing of a secret is ever shown."""

from pathlib import Path

import pytest

from consumer import settings as of_consumer
from consumer.errors import ConfigError
from producer import settings as of_producer
from producer.errors import CannotGoOn


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets, and an environment that names it and nothing else of ours."""
    for entry in list(of_consumer.entries(of_consumer.load())):
        monkeypatch.delenv(entry.variable, raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    return tmp_path


def test_both_sides_read_a_secret_from_its_file(folder: Path) -> None:
    """Without the line's end that an editor puts there."""
    (folder / "KAFKA_SASL_PASSWORD").write_text("hunter2\n", "utf-8")
    (folder / "gateway_api_keys").write_text("a,b\n", "utf-8")
    for kafka in (of_consumer.load().kafka, of_producer.load().kafka):
        assert kafka.sasl_password is not None
        assert kafka.sasl_password.get_secret_value() == "hunter2"
    assert of_producer.load_gateway().keys == ("a", "b")


def test_the_table_says_that_it_is_from_a_file_and_not_what_it_says(folder: Path) -> None:
    """Masked as any secret."""
    (folder / "kafka_sasl_password").write_text("hunter2", "utf-8")
    table = {entry.variable: entry for entry in of_consumer.entries(of_consumer.load())}
    assert table["KAFKA_SASL_PASSWORD"].source == "secret file"
    assert "hunter2" not in str(table)


def test_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one value can be tried without touching the file."""
    (folder / "KAFKA_GROUP_ID").write_text("from-file", "utf-8")
    assert of_consumer.load().delivery.kafka_group_id == "from-file"
    monkeypatch.setenv("KAFKA_GROUP_ID", "from-environment")
    assert of_consumer.load().delivery.kafka_group_id == "from-environment"


def test_a_wrong_value_is_not_shown(folder: Path) -> None:
    """A secret with a mistake in it is a secret still."""
    (folder / "KAFKA_SASL_PASSWORD").write_text("hunter2", "utf-8")
    (folder / "KAFKA_SECURITY_PROTOCOL").write_text("SASL_SSL", "utf-8")
    with pytest.raises(ConfigError, match="KAFKA_SASL_USERNAME") as caught:
        of_consumer.load()
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_is_named_and_not_there_stops_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that was forgotten must not look like a setting that is not set."""
    monkeypatch.setenv("SECRETS_DIR", str(folder / "nothing"))
    with pytest.raises(ConfigError, match=r"SECRETS_DIR=.*nothing is no folder"):
        of_consumer.load()
    with pytest.raises(CannotGoOn, match=r"SECRETS_DIR=.*nothing is no folder"):
        of_producer.load()


def test_a_file_that_cannot_be_read_stops_the_start(folder: Path) -> None:
    """Nobody meets a traceback for a file that cannot be read."""
    (folder / "KAFKA_SASL_PASSWORD").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="utf-8"):
        of_consumer.load()
    with pytest.raises(CannotGoOn, match="utf-8"):
        of_producer.load()
