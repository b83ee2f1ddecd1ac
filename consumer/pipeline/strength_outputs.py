"""A member's strengths as records."""

from collections.abc import Sequence
from hashlib import blake2b

from consumer.analysis import prompts, strengths
from consumer.analysis.answers import StrengthAnswer
from consumer.analysis.task import Kind
from consumer.pipeline import outputs
from consumer.pipeline.workload import Shared
from consumer.stream.members import Member
from consumer.stream.record import Output
from schemas.base import id_text
from schemas.codec import encode, group_key, restaurant_key
from schemas.headers import EventType
from schemas.results import Provenance, RestaurantStrengths, RestaurantSummary


class StrengthOutputs:
    """Writes the strengths of one lane."""

    def __init__(self, shared: Shared) -> None:
        self._made, self._topic = shared.made, shared.names.strength

    def tombstone(self, member: Member) -> Output:
        """Of a member that has left its group, or has no reviews left."""
        return outputs.tombstone(self._topic, group_key(*member), restaurant_key(member[1]))

    def value(
        self,
        member: Member,
        target: RestaurantSummary,
        others: Sequence[RestaurantSummary],
        comparison: str,
        answer: StrengthAnswer,
    ) -> RestaurantStrengths:
        """The answer with its numbers, counted from the summaries."""
        return RestaurantStrengths(
            restaurant_id=target.restaurant_id,
            strengths=strengths.counted(target, others, answer),
            strength_summary=answer.summary,
            comparison_summary=comparison,
            compared_with=len(others),
            comparison_group=member[0] or None,
            version=target.version,
            provenance=Provenance(
                engine=self._made.engine, model=self._made.model, prompt=prompts.prompt_id(Kind.STRENGTH)
            ),
        )

    def marked(self, value: RestaurantStrengths, *, cached: bool) -> RestaurantStrengths:
        """With the mark of the result cache, which changes nothing of what the strengths say."""
        made = value.provenance
        return value.model_copy(update={"provenance": made and made.model_copy(update={"cached": cached})})

    def digest(self, value: RestaurantStrengths) -> str:
        """Tells whether two strengths say the same."""
        return blake2b(encode(value), digest_size=16).hexdigest()

    def record(self, member: Member, value: RestaurantStrengths, revision: int, now: float) -> Output:
        """The record. Its id has the summary's version, and a revision where others made it anew under that version."""
        key = group_key(*member)
        ce_id = outputs.ce_id_of_job(self._topic, key, value.version, revision)
        marks = outputs.headers(ce_id, EventType.STRENGTH, now)
        return outputs.result(self._topic, key, value, restaurant_key(id_text(member[1])), marks)
