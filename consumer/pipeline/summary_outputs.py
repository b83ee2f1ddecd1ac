"""A restaurant's summary as records: to its readers, and to its comparison group."""

from dataclasses import replace

from consumer.analysis import prompts
from consumer.analysis.task import Kind
from consumer.pipeline import outputs
from consumer.pipeline.workload import Shared
from consumer.stream.record import Output
from consumer.stream.state import RestaurantState, Staged, SummaryState
from schemas.codec import encode, group_key, restaurant_key
from schemas.headers import EventType
from schemas.results import Provenance, RestaurantSummary
from schemas.topics import by_group_key


class SummaryOutputs:
    """Writes the summaries of one lane; a record's partition is the lane's own, by group the group's."""

    def __init__(self, shared: Shared, partition: int) -> None:
        self._shared, self._names, self._partition = shared, shared.names, partition

    def replaced(
        self, staged: Staged, restaurant: str, found: RestaurantState, made: SummaryState, now: float
    ) -> list[Output]:
        """Stage a summary in place of the last, as the next version, and write it. A group it left gets a tombstone."""
        last = found.summary
        made = replace(made, counted=found.counts, version=found.summaries + 1)
        after = replace(found, summary=made, summaries=made.version)
        staged.put_restaurant(restaurant, after)
        left = [self._leave(last.group, restaurant)] if last and last.group != made.group else []
        return [*left, *self._records(restaurant, after, made, now)]

    def gone(self, restaurant: str, last: SummaryState) -> list[Output]:
        """Tombstones of a restaurant that has no review left."""
        key = restaurant_key(restaurant)
        return [outputs.tombstone(self._names.summary, key, self._partition), self._leave(last.group, restaurant)]

    def _records(self, restaurant: str, counts: RestaurantState, made: SummaryState, now: float) -> list[Output]:
        key = restaurant_key(restaurant)
        value = encode(self._value(counts, made))
        ce_id = outputs.ce_id_of_job(self._names.summary, key, made.version)
        marks = outputs.headers(ce_id, EventType.SUMMARY, now)
        in_group = group_key(made.group, restaurant)
        return [
            Output(self._names.summary, key, value, self._partition, marks),
            Output(self._names.by_group, in_group, value, by_group_key(made.group, key), marks),
        ]

    def _value(self, counts: RestaurantState, made: SummaryState) -> RestaurantSummary:
        return RestaurantSummary(
            restaurant_id=counts.restaurant_id,
            overall_summary=made.overall,
            positive_aspects=made.positive,
            negative_aspects=made.negative,
            positive_count=counts.positive,
            negative_count=counts.negative,
            review_count=counts.total,
            version=made.version,
            comparison_group=made.group,
            language=made.language,
            provenance=Provenance(
                engine=self._shared.made.engine,
                model=self._shared.made.model,
                prompt=prompts.prompt_id(Kind.SUMMARY),
                truncated=made.truncated,
                cached=made.cached,
            ),
        )

    def _leave(self, group: str | None, restaurant: str) -> Output:
        """The tombstone of a restaurant in a group it is no longer in."""
        key = group_key(group, restaurant)
        return outputs.tombstone(self._names.by_group, key, by_group_key(group, restaurant_key(restaurant)))
