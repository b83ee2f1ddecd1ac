"""The exported contracts are up to date and complete, and records of released versions can still be read."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from schemas import asyncapi, export
from schemas.base import WireModel
from schemas.codec import encode
from schemas.headers import CLOUD_EVENT_HEADERS, EventType
from schemas.topics import TopicNames

RELEASED = export.HOME / "released"
MODELS = {model.__name__: model for model in (*export.TOPIC_MODELS, *export.HTTP_MODELS)}
EXAMPLES = sorted(RELEASED.glob("*/*.jsonl"))


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of one released file, each as its bytes."""
    yield from path.read_bytes().splitlines()


def references(node: object) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def resolve(document: dict[str, Any], reference: str) -> Any:
    """Follow a local `$ref`; KeyError names what is missing."""
    assert reference.startswith("#/"), reference
    node: Any = document
    for step in reference[2:].split("/"):
        node = node[step]
    return node


def test_exported_files_are_up_to_date() -> None:
    """`make schemas` has been run after the last change of a model, and nobody edited its files."""
    assert export.stale(export.HOME, export.exported()) == []


def test_check_names_what_is_missing_edited_and_surplus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` writes nothing and exits 1; a run without it repairs all three."""
    assert export.main([], tmp_path) == 0
    (tmp_path / "json/ReviewEvent.json").unlink()
    (tmp_path / "asyncapi.json").write_bytes(b"{}")
    (tmp_path / "json/Old.json").write_bytes(b"{}")
    capsys.readouterr()
    assert export.main(["--check"], tmp_path) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"not up to date: schemas/{name}" for name in ("asyncapi.json", "json/Old.json", "json/ReviewEvent.json")
    ]
    assert "make schemas" in said.err
    assert export.main([], tmp_path) == 0
    assert export.main(["--check"], tmp_path) == 0


def test_export_is_the_same_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document carries the default topic names, not those of the machine it was made on."""
    before = export.exported()
    monkeypatch.setenv("TOPIC_REVIEWS", "elsewhere")
    assert TopicNames().reviews == "elsewhere"
    assert export.exported() == before


def test_every_reference_of_asyncapi_resolves() -> None:
    """No `$ref` points to nothing, and each lands on an object."""
    document = asyncapi.document()
    found = list(references(document))
    assert len(found) > 50
    for reference in found:
        assert isinstance(resolve(document, reference), dict), reference


def test_asyncapi_has_every_topic_with_key_headers_and_payload() -> None:
    """A reader learns all of a record from the document: topic, key, headers, value."""
    document = asyncapi.document()
    assert document["asyncapi"] == "3.0.0"
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == set(TopicNames.model_construct().model_dump().values())
    for channel in document["channels"].values():
        (message,) = (resolve(document, m["$ref"]) for m in channel["messages"].values())
        assert message["bindings"]["kafka"]["key"]["description"]
        assert resolve(document, message["headers"]["$ref"])["properties"]
        assert message["payload"]
        assert channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] in (["delete"], ["compact"])


def test_asyncapi_operations_use_messages_of_their_own_channel() -> None:
    """AsyncAPI 3.0: an operation's messages are references into its channel, and its action is send or receive."""
    document = asyncapi.document()
    used = set()
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        used.add(channel)
        assert operation["action"] in {"send", "receive"}
        assert operation["messages"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")
    assert used == {f"#/channels/{name}" for name in document["channels"]}


def test_every_event_type_ends_in_its_version() -> None:
    """A breaking change of a value is a new type: the version is its last part."""
    assert all(kind.endswith(".v1") for kind in EventType)
    assert set(CLOUD_EVENT_HEADERS) >= {"ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion"}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_exported_schema_is_valid_json_schema(name: str) -> None:
    """Each file is a JSON Schema of the draft it names, complete in itself."""
    schema = json.loads((export.HOME / f"json/{name}.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    for reference in references(schema):
        assert isinstance(resolve(schema, reference), dict)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_released_records_are_read_by_the_current_models(path: Path) -> None:
    """A record of any released version is read, keeps its values, and validates against today's schema."""
    model = MODELS[path.stem]
    validator = Draft202012Validator(export.schema(model))
    for record in records(path):
        read = model.model_validate_json(record)
        assert same_or_defaulted(json.loads(record), json.loads(encode(read)))
        validator.validate(json.loads(record))
        validator.validate(json.loads(encode(read)))


def same_or_defaulted(old: Any, new: Any) -> bool:
    """Whether `new` holds all of `old` that today's models know, with times and numbers compared by value."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(same_or_defaulted(old[name], new[name]) for name in old.keys() & new.keys())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(same_or_defaulted(a, b) for a, b in zip(old, new, strict=True))
    if isinstance(old, str) and isinstance(new, str):
        return old == new or (old[:4].isdigit() and old[:16] == new[:16])
    return bool(old == new)


def test_released_records_cover_every_public_model() -> None:
    """Each released version brings records of every model of its time; the first had them all."""
    first = RELEASED / "0.1.0"
    assert {path.stem for path in first.glob("*.jsonl")} == set(MODELS)


def unedited(folder: Path) -> bool:
    """Whether a released folder holds exactly what its SHA256SUMS says."""
    lines = (line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jsonl")}
    return bool(found) and sums == found


@pytest.mark.parametrize("folder", sorted(RELEASED.iterdir()), ids=lambda folder: folder.name)
def test_released_records_were_never_edited(folder: Path) -> None:
    """The files are those that their manifest names, byte for byte."""
    assert unedited(folder)


def test_an_edited_released_record_is_noticed(tmp_path: Path) -> None:
    """One changed byte, a file gone or a file added is seen."""
    copies = [Path(shutil.copytree(RELEASED / "0.1.0", tmp_path / name)) for name in ("edited", "gone", "added")]
    edited, gone, added = copies
    assert all(map(unedited, copies))
    (edited / "ReviewEvent.jsonl").write_bytes((edited / "ReviewEvent.jsonl").read_bytes() + b"\n")
    (gone / "ReviewEvent.jsonl").unlink()
    (added / "New.jsonl").write_bytes(b"{}\n")
    assert not any(map(unedited, copies))


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.__name__)
def test_models_are_frozen_and_ignore_unknown_fields(model: type[WireModel]) -> None:
    """A newer writer never breaks an older reader, and no reader changes a record."""
    record = json.loads(next(records(RELEASED / f"0.1.0/{model.__name__}.jsonl")))
    read = model.model_validate({**record, "field_of_tomorrow": {"a": 1}})
    assert "field_of_tomorrow" not in json.loads(encode(read))
    with pytest.raises(ValidationError):
        setattr(read, next(iter(model.model_fields)), None)
