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
_DISPATCH, _SETTLING = "consumer/pipeline/dispatch.py", "consumer/pipeline/settling.py"
_QUARANTINE, _SUPERVISOR = "consumer/pipeline/quarantine.py", "consumer/pipeline/supervisor.py"
_OUTPUTS = "consumer/pipeline/outputs.py"
_LETTER = "return Output(topic, record.key, record.value, record.key, _kept(record) + marks, record.timestamp)"
_DISPATCH_TEST = "tests/unit/test_dispatch.py"
_INVARIANT_6, _SUSPECTS = "tests/unit/test_invariant_6.py", "tests/property/test_suspects.py"
_HOSTILE, _DLQ = "tests/integration/test_hostile.py", "tests/integration/test_dlq.py"
_PRIVACY = "tests/unit/test_invariant_9.py::test_review_text_is_written_at_debug_alone"

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
        "5: a batch that fails as a whole is tried in halves",
        _DISPATCH,
        "        if len(items) > 1:\n",
        "        if False:\n",
        f"{_DISPATCH_TEST}::test_a_review_that_hangs_is_found_in_halves_and_is_alone_a_dead_letter",
    ),
    Guard(
        "5: when most records fail by our fault, only probes are sent",
        _DISPATCH,
        "return self._outage.admits(now, running) and self._breaker.admits(now, running)",
        "return self._outage.admits(now, running)",
        f"{_DISPATCH_TEST}::test_when_most_records_fail_nothing_is_sent_but_probes_until_one_succeeds",
    ),
    Guard(
        "5: and what is here loses no attempt",
        _SETTLING,
        "            ask.opening, ask.attempts = self._openings, 0\n",
        "            ask.opening = self._openings\n",
        f"{_DISPATCH_TEST}::test_when_most_records_fail_nothing_is_sent_but_probes_until_one_succeeds",
    ),
    Guard(
        "6: what was in flight at a death is suspected",
        _DISPATCH,
        "        self._quarantine.died([ask.name for ask in stranded])\n",
        "        self._quarantine.died([])\n",
        f"{_INVARIANT_6}::test_a_record_that_kills_every_engine_is_alone_to_blame",
    ),
    Guard(
        "6: a suspect does not go with the others",
        _DISPATCH,
        "        if ask.owner.closed or self._quarantine.takes(ask):\n",
        "        if ask.owner.closed:\n",
        f"{_INVARIANT_6}::test_a_record_that_kills_every_engine_is_alone_to_blame",
    ),
    Guard(
        "6: what a death leaves behind is asked again",
        _DISPATCH,
        "            self._stranded.extend(running.asks())\n",
        "            pass\n",
        f"{_INVARIANT_6}::test_a_death_from_outside_costs_no_record_anything",
    ),
    Guard(
        "6: nothing else is in flight while suspects are tried",
        _DISPATCH,
        "        while self._running or self._preparing.busy:\n",
        "        while False:\n",
        f"{_INVARIANT_6}::test_a_suspect_of_another_life_waits_for_what_is_in_flight",
    ),
    Guard(
        "6: calls that a dead engine never returns from are cancelled",
        _DISPATCH,
        "                task.cancel()\n",
        "                pass\n",
        f"{_INVARIANT_6}::test_many_killers_are_told_from_the_innocent",
    ),
    Guard(
        "6: three deaths alone are a verdict, fewer are none",
        "consumer/stream/suspects.py",
        "        if self._deaths[name] < ALONE_DEATHS:\n",
        "        if False:\n",
        f"{_SUSPECTS}::test_two_deaths_alone_are_no_verdict",
    ),
    Guard(
        "6: only who was alone is counted",
        "consumer/stream/suspects.py",
        "        if len(names) == 1:\n",
        "        if names:\n",
        f"{_SUSPECTS}::test_killers_and_only_killers_are_convicted",
    ),
    Guard(
        "6: what was in flight when the process died is suspected by the next",
        _QUARANTINE,
        "        self.died(in_flight)\n",
        "        self.died([])\n",
        f"{_INVARIANT_6}::test_a_killer_that_takes_the_process_along_is_found_over_its_lives",
    ),
    Guard(
        "6: what is in flight is on disk before it is",
        _QUARANTINE,
        "        return self._log.begin([ask.name for ask in asks])\n",
        "        return 0\n",
        f"{_INVARIANT_6}::test_a_killer_that_takes_the_process_along_is_found_over_its_lives",
    ),
    Guard(
        "6: an engine that died is started again",
        _SUPERVISOR,
        "            await self._restart(death.error)\n",
        "            raise death.error\n",
        f"{_INVARIANT_6}::test_a_death_from_outside_costs_no_record_anything",
    ),
    Guard(
        "6: restarts that bring nothing end",
        _SUPERVISOR,
        "            if self._progress.fruitless > self._rules.most:\n",
        "            if False:\n",
        f"{_INVARIANT_6}::test_without_progress_the_process_ends",
    ),
    Guard(
        "8: a dead letter keeps the value",
        _OUTPUTS,
        _LETTER,
        _LETTER.replace("record.value", "(record.value or b'')[:4]"),
        "tests/unit/test_outputs.py::test_a_dead_letter_keeps_everything",
    ),
    Guard(
        "8: a dead letter keeps the key",
        _OUTPUTS,
        _LETTER,
        _LETTER.replace("topic, record.key,", "topic, record.key and record.key.strip(b'\\0'),"),
        "tests/unit/test_outputs.py::test_a_dead_letter_keeps_everything",
    ),
    Guard(
        "8: a dead letter keeps the time",
        _OUTPUTS,
        _LETTER,
        _LETTER.replace("record.timestamp", "None"),
        "tests/unit/test_outputs.py::test_a_dead_letter_keeps_everything",
    ),
    Guard(
        "8: headers whose names are not UTF-8 are kept in base64",
        _OUTPUTS,
        " if any(is_escaped(name) for name, _ in kept) else kept",
        " if False else tuple(pair for pair in kept if not is_escaped(pair[0]))",
        "tests/unit/test_header_names.py::test_a_dead_letter_keeps_such_headers_in_one",
    ),
    Guard(
        "8: a record with such a header is read past",
        "consumer/kafka/header_names.py",
        "    fetcher.MemoryRecords = _Records\n",
        "    pass\n",
        f"{_HOSTILE}::test_records_whose_header_names_are_not_utf_8_are_dead_letters_and_nothing_is_skipped",
    ),
    Guard(
        "8: nor are the good ones before it given twice",
        "consumer/kafka/header_names.py",
        "            if number >= index:\n",
        "            if True:\n",
        "tests/unit/test_header_names.py::test_every_record_is_read_as_it_was_written",
    ),
    Guard(
        "8: a letter is replayed once, whatever is selected",
        "consumer/pipeline/replay.py",
        "            elif known.holds(letter):\n",
        "            elif False:\n",
        f"{_DLQ}::test_each_letter_is_replayed_once_whatever_is_selected_in_which_order",
    ),
    Guard(
        "8: one replay at a time",
        "consumer/pipeline/replay.py",
        'f"{prefix}{selection.name()}", f"{prefix}writer")',
        'f"{prefix}{selection.name()}")',
        f"{_DLQ}::test_a_second_run_fences_the_first_and_both_replay_each_letter_once",
    ),
    Guard(
        "8: a replayed letter brings its attempts along",
        "consumer/stream/letters.py",
        "(*headers, mark)",
        "headers",
        "tests/property/test_letters.py::test_a_replay_is_the_original_with_its_attempts",
    ),
    Guard(
        "9: what an engine's error says is not logged",
        _DISPATCH,
        '            log_bug(log, "the engine failed a batch", error)\n',
        '            log.exception("the engine failed a batch")\n',
        _PRIVACY,
    ),
    Guard(
        "9: what an error of ours says is not logged",
        _SETTLING,
        '            log_bug(log, "an answer could not be used", error)\n',
        '            log.exception("an answer could not be used")\n',
        _PRIVACY,
    ),
    Guard(
        "9: what a tokenizer's error says is not logged",
        "consumer/pipeline/preparing.py",
        'log_bug(log, "an item could not be prepared", error)',
        'log.exception("an item could not be prepared")',
        _PRIVACY,
    ),
    Guard(
        "9: a dead letter's reason quotes nothing of its value",
        "schemas/codec.py",
        """{', or: '.join(said)}" for place""",
        """{', or: '.join(said)} {error}" for place""",
        _PRIVACY,
    ),
    Guard(
        "9: secrets are masked",
        "consumer/settings.py",
        "    if isinstance(value, SecretStr):\n",
        "    if isinstance(value, SecretStr):\n        return value.get_secret_value()\n",
        "tests/unit/test_invariant_9.py::test_secrets_are_neither_shown_nor_printed",
    ),
    Guard(
        "9: and not printed where a setting is wrong",
        "consumer/settings.py",
        'repr(_without_secrets(str(os.environ.get(variable, error["input"]))))',
        'repr(os.environ.get(variable, error["input"]))',
        "tests/unit/test_invariant_9.py::test_a_wrong_value_is_named_without_its_secret",
    ),
)
