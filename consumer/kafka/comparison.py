"""What is wrong with the topics: pure, from what a broker said about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.topics import CLEANUP_POLICY, DLQ_HEADROOM_BYTES, MAX_MESSAGE_BYTES, TopicSpec

Counts = Mapping[str, int]
"""Topic → number of partitions, of the topics that exist."""
Configs = Mapping[str, Mapping[str, str]]
"""Topic → setting → value, as far as the broker tells."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing about a topic that is not as it must be; the message says what to do."""

    topic: str
    message: str

    def __str__(self) -> str:
        return f"topic {self.topic} {self.message}"


def problems(specs: Sequence[TopicSpec], counts: Counts, configs: Configs) -> tuple[Problem, ...]:
    """Everything that is wrong. A setting that `configs` does not hold is not compared."""
    return (
        *_missing(specs, counts),
        *_uneven(specs, counts),
        *_wrong_cleanup(specs, configs),
        *_too_small(specs, configs),
    )


def wanted_config(spec: TopicSpec, configs: Configs) -> dict[str, str]:
    """The settings to create a topic with; one that holds others' records is as large as theirs and the headers."""
    needed = _needed_bytes(spec, configs)
    if needed is None:
        return dict(spec.config)
    return {**spec.config, MAX_MESSAGE_BYTES: str(max(needed, int(spec.config.get(MAX_MESSAGE_BYTES, 0))))}


def _missing(specs: Sequence[TopicSpec], counts: Counts) -> Iterator[Problem]:
    for spec in specs:
        if spec.name not in counts:
            yield Problem(
                spec.name,
                "does not exist; create it with `review-consumer topics create` (or no ACL lets this user describe it)",
            )


def _uneven(specs: Sequence[TopicSpec], counts: Counts) -> Iterator[Problem]:
    for spec in specs:
        own, other = counts.get(spec.name), counts.get(spec.like or "")
        if own is not None and other is not None and own != other:
            yield Problem(
                spec.name,
                f"has {own} partitions, {spec.like} has {other}: they must be equal; add partitions to the smaller one "
                "(`kafka-topics.sh --alter --partitions`), or delete it and create it anew while it is empty",
            )


def _wrong_cleanup(specs: Sequence[TopicSpec], configs: Configs) -> Iterator[Problem]:
    for spec in specs:
        found, wanted = configs.get(spec.name, {}).get(CLEANUP_POLICY), spec.config[CLEANUP_POLICY]
        if found is not None and found != wanted:
            yield Problem(spec.name, _set_it(CLEANUP_POLICY, found, wanted))


def _too_small(specs: Sequence[TopicSpec], configs: Configs) -> Iterator[Problem]:
    for spec in specs:
        found, wanted = configs.get(spec.name, {}).get(MAX_MESSAGE_BYTES), _needed_bytes(spec, configs)
        if found is not None and wanted is not None and int(found) < wanted:
            yield Problem(spec.name, _set_it(MAX_MESSAGE_BYTES, found, str(wanted)))


def _needed_bytes(spec: TopicSpec, configs: Configs) -> int | None:
    held = (configs.get(name, {}).get(MAX_MESSAGE_BYTES) for name in spec.holds)
    found = [int(limit) for limit in held if limit is not None]
    return max(found) + DLQ_HEADROOM_BYTES if found else None


def _set_it(setting: str, found: str, wanted: str) -> str:
    return (
        f"has {setting}={found}, {wanted} is needed; "
        f"set it with `kafka-configs.sh --alter --add-config {setting}={wanted}`"
    )
