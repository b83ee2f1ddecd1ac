"""The guarding lines: where each is, what stands in its place in the mutant, and the test that must fail then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guard:
    """One line (or a few) that upholds an invariant."""

    invariant: str
    file: str
    old: str
    new: str
    test: str
    """As pytest names it."""


_LANE = "tests/property/test_lane.py"
_EXACTLY_ONCE = "tests/integration/test_exactly_once.py"
_PUBLISHER = "consumer/kafka/exactly_once.py"
_WORKER = "consumer/pipeline/worker.py"

GUARDS = (
    Guard(
        "1: the offset never passes an unfinished record",
        "consumer/stream/lane.py",
        "if not slot.finished or len(done) >= limit:",
        "if len(done) >= limit:",
        _LANE,
    ),
    Guard(
        "1: the offset never goes back",
        "consumer/stream/lane.py",
        "        if next_offset < self.committed:\n",
        "        if next_offset < 0:\n",
        _LANE,
    ),
    Guard(
        "1: what is not done is not retired",
        "consumer/stream/lane.py",
        "            if not self._window[0].finished:\n",
        "            if False:\n",
        _LANE,
    ),
    Guard(
        "2: a lost answer is looked up before anything is sent again",
        _PUBLISHER,
        "if self._in_doubt is not None and await self._is_there(write):",
        "if False and await self._is_there(write):",
        f"{_EXACTLY_ONCE}::test_a_commit_that_was_made_though_its_answer_was_lost_is_found_by_the_mark",
    ),
    Guard(
        "2: every send is acknowledged before the offset goes",
        "consumer/kafka/sending.py",
        "        _raise_worst([*(outcome for outcome in outcomes if isinstance(outcome, BaseException)), *errors])\n",
        "        outcomes = [o for o in outcomes if not isinstance(o, BaseException)]\n",
        f"{_EXACTLY_ONCE}::test_a_refused_send_inside_a_transaction_commits_nothing_and_is_named",
    ),
    Guard(
        "2: the producer is replaced after a failure",
        _PUBLISHER,
        "            await self.close()\n            return Outcome(Commit.UNKNOWN",
        "            return Outcome(Commit.UNKNOWN",
        f"{_EXACTLY_ONCE}::test_a_commit_that_was_not_made_is_sent_again",
    ),
    Guard(
        "2: another owner's commit since ends the lane",
        _PUBLISHER,
        "        if found is None:\n",
        "        if found is None and False:\n",
        f"{_EXACTLY_ONCE}::test_another_owners_commit_since_ends_the_lane",
    ),
    Guard(
        "2: a restart goes on from the changelog",
        _WORKER,
        "        await self._patiently(self._restore)\n",
        "",
        f"{_EXACTLY_ONCE}::test_state_survives_a_restart",
    ),
    Guard(
        "2: a moved offset is not guessed about",
        "consumer/stream/place.py",
        "if mark is None or committed is None or not _agree(mark, committed):",
        "if mark is None or committed is None:",
        "tests/property/test_changelog.py",
    ),
    Guard(
        "2: in at_least_once what the state holds is not folded again",
        _WORKER,
        "(workload.receive if record.offset >= self._state_offset else workload.receive_again)(record)",
        "workload.receive(record)",
        f"{_EXACTLY_ONCE}::test_at_least_once_answers_from_state_what_was_interrupted_before_its_offset",
    ),
    Guard(
        "3: all owners of a lane share one transactional id",
        _PUBLISHER,
        'return f"{group_id}.{lane.topic}.{lane.partition}"',
        'import uuid; return f"{group_id}.{lane.topic}.{lane.partition}.{uuid.uuid4()}"',
        f"{_EXACTLY_ONCE}::test_invariant_3_nothing_of_a_former_owner_becomes_visible",
    ),
    Guard(
        "3: a producer is made only by a member of the current generation",
        _PUBLISHER,
        "            await self._source.confirm(self._generation)\n",
        "",
        f"{_EXACTLY_ONCE}::test_a_zombie_does_not_fence_the_new_owner_back",
    ),
    Guard(
        "3: partitions that were lost are not committed",
        "consumer/kafka/source.py",
        "if self._source.stopped or self._source.generation == LOST:",
        "if False:",
        f"{_EXACTLY_ONCE}::test_a_revocation_after_the_partitions_were_lost_commits_nothing",
    ),
    Guard(
        "3: a fenced member leaves and joins anew",
        _WORKER,
        "            self._ground.fenced()\n",
        "",
        f"{_EXACTLY_ONCE}::test_a_fenced_member_closes_every_lane_and_joins_anew",
    ),
    Guard(
        "4: a lane's records are bounded",
        "consumer/stream/lane.py",
        "(len(self._window) < self._max_records and self.size + size <= self._max_bytes)",
        "True",
        _LANE,
    ),
    Guard(
        "4: a full lane pauses its partition",
        "consumer/stream/backpressure.py",
        "lane.records > self.high_records - self.poll_records\n            or lane.bytes >= self.high_bytes\n",
        "False\n",
        "tests/property/test_backpressure.py",
    ),
    Guard(
        "5: what succeeded is not run again because a neighbour failed",
        "consumer/pipeline/dispatch.py",
        "        running.open.remove(index)\n",
        "",
        "tests/unit/test_dispatch.py",
    ),
    Guard(
        "5: output that Kafka refuses leaves its neighbours alone",
        "consumer/pipeline/reviews.py",
        "    if isinstance(item, Refused) or offset not in refused:\n",
        "    if isinstance(item, Refused):\n",
        f"{_EXACTLY_ONCE}::test_output_that_kafka_refuses_becomes_its_records_dead_letter",
    ),
    Guard(
        "8: a dead letter keeps the value",
        "consumer/pipeline/outputs.py",
        "return Output(topic, record.key, record.value, record.key, kept + marks, record.timestamp)",
        "return Output(topic, record.key, (record.value or b'')[:4], record.key, kept + marks, record.timestamp)",
        "tests/unit/test_outputs.py",
    ),
)
