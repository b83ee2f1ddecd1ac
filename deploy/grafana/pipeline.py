"""Why is it late: from the lag down to the engine, so that the first row that is red is where to look."""

from deploy.grafana.parts import Dashboard, Panel, Query, Row

_SHARE_OF_TIME = (
    "sum by (state) (rate(review_consumer_engine_time_seconds_total[$__rate_interval])) / on () group_left () "
    "sum(rate(review_consumer_engine_time_seconds_total[$__rate_interval]))"
)


def _mean(metric: str, labels: str = "") -> str:
    return f"sum(rate({metric}_sum{labels}[$__rate_interval])) / sum(rate({metric}_count{labels}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket[$__rate_interval])))"


LATE = Row(
    "1. Is it late, and where?",
    (
        Panel(
            "Age of the oldest record that is not done",
            "How late results are. Rising steadily: more comes in than goes out, go on with row 4. Rising by one "
            "second a second: nothing goes out at all, go on with row 2.",
            "s",
            (Query("max by (topic) (review_consumer_lag_seconds)", "{{topic}}"),),
            bad_above=300,
        ),
        Panel(
            "Records behind",
            "Offsets between what is committed and the end of each topic. Rising while the age stays low: a burst that "
            "is being worked off.",
            "short",
            (Query("sum by (topic) (review_consumer_lag_records)", "{{topic}}"),),
        ),
        Panel(
            "The five partitions that are latest",
            "All alike: the engine or Kafka, see rows 3 to 5. One far above the others: that partition is refused, "
            "cannot commit, or one restaurant floods it; paused partitions in row 2 say which.",
            "s",
            (Query("topk(5, review_consumer_lag_seconds)", "{{topic}}/{{partition}}"),),
            bad_above=300,
        ),
        Panel(
            "Records in, and done",
            "Polled, and committed with their outcome. Done stays below polled: lag grows. Done is 0 and polled is "
            "not: commits fail, see row 3. Both 0 with lag: nobody takes them, see row 2.",
            "reqps",
            (
                Query("sum(rate(review_consumer_received_records_total[$__rate_interval]))", "polled"),
                Query("sum(rate(review_consumer_records_total[$__rate_interval]))", "done"),
            ),
        ),
        Panel(
            "Where the time goes",
            "Mean seconds of a review at each stage. The tallest is the reason: waiting for a batch (row 4), in the "
            "engine (row 5), or from the answer to the commit (row 3).",
            "s",
            (
                Query(_mean("review_consumer_queue_seconds", '{kind="sentiment"}'), "waits for a batch"),
                Query(_mean("review_consumer_engine_seconds", '{kind="sentiment"}'), "in the engine"),
                Query(_mean("review_consumer_publish_seconds"), "answered, not committed"),
            ),
        ),
        Panel(
            "From Kafka's timestamp to the committed result",
            "What a downstream reader sees: half of the results are quicker than the lower line, 95 in 100 than the "
            "upper. The upper far above the lower: single partitions or restaurants wait.",
            "s",
            (
                Query(_quantile(0.5, "review_consumer_end_to_end_seconds", "topic"), "half, {{topic}}"),
                Query(_quantile(0.95, "review_consumer_end_to_end_seconds", "topic"), "95 in 100, {{topic}}"),
            ),
            bad_above=300,
        ),
    ),
)

TAKEN = Row(
    "2. Does anybody take the records?",
    (
        Panel(
            "Members that answer",
            "Processes whose metrics page answers, and of these those that take records. 0 answer: they have ended, "
            "their log says why. Fewer ready than answer: /readyz of the others says why.",
            "short",
            (
                Query('sum(up{job="review-consumer"})', "answer"),
                Query("sum(review_consumer_ready)", "ready"),
            ),
            bad_below=1,
        ),
        Panel(
            "Partitions that are worked on",
            "The sum must be the topic's partitions. Below: somebody has to take them over, or they are being restored "
            "or refused.",
            "short",
            (Query("sum by (topic) (review_consumer_open_partitions)", "{{topic}}"),),
        ),
        Panel(
            "Partitions that are paused, and why",
            "`full` and `busy` come and go under load, and mean that the engine is the limit. `stopped`: too many "
            "records fail. `refused`: a person must decide. `opening` for minutes: a long restore.",
            "short",
            (Query("sum by (reason) (review_consumer_paused_partitions)", "{{reason}}"),),
        ),
        Panel(
            "Rebalances",
            "Assignments in 10 minutes, by member. A few at a deployment. Again and again: members fall out, by "
            "crashes, by a Kafka that does not answer, or because scaling cannot make up its mind.",
            "short",
            (Query("increase(review_consumer_rebalances_total[10m])", "{{instance}}"),),
            bad_above=6,
        ),
        Panel(
            "Offsets of state still to restore",
            "Falls to 0 after an assignment. Far from 0 for long: state is large and `STATE_DIR` was not kept.",
            "short",
            (Query("sum by (topic) (review_consumer_restore_remaining_offsets)", "{{topic}}"),),
        ),
        Panel(
            "Starts of the process in an hour",
            "More than a deployment's: it ends and is started again. Its log's last lines say why; a full disk and "
            "wrong credentials look like this.",
            "short",
            (Query('changes(process_start_time_seconds{job="review-consumer"}[1h])', "{{instance}}"),),
            bad_above=3,
        ),
    ),
)

COMMITTED = Row(
    "3. Do results get out?",
    (
        Panel(
            "Commits by outcome",
            "Only `committed` should be seen. `not_committed`, `unknown`: Kafka does not answer or refuses, everything "
            "is tried again. `fenced`: another member owns the partition. `refused`: an output is too large.",
            "ops",
            (Query("sum by (outcome) (rate(review_consumer_commit_seconds_count[$__rate_interval]))", "{{outcome}}"),),
        ),
        Panel(
            "Time of a commit",
            "95 in 100 are quicker. Seconds: the brokers are slow or far away; lag follows when it comes near the time "
            "between commits times what a partition may have in flight.",
            "s",
            (Query(_quantile(0.95, "review_consumer_commit_seconds", "outcome"), "{{outcome}}"),),
            bad_above=5,
        ),
        Panel(
            "From the answer to the commit",
            "95 in 100 are quicker. High with quick commits: results wait for an earlier record of their partition "
            "that the engine has not answered.",
            "s",
            (Query(_quantile(0.95, "review_consumer_publish_seconds", "topic"), "{{topic}}"),),
        ),
        Panel(
            "Stopped because too many records fail",
            "1: no records are taken at all, one is tried now and then. `engine`: its answers are wrong or errors; "
            "`publish`: Kafka refuses results.",
            "short",
            (Query("max by (at) (review_consumer_breaker_open)", "{{at}}"),),
            bad_above=1,
        ),
        Panel(
            "Dead letters",
            "By reason; the runbook has a line for each. `not_json`, `invalid_event`, `wrong_key`: upstream sends what "
            "is no review. `engine_error`, `engine_timeout`: the engine. `internal_error`: a bug of ours.",
            "reqps",
            (Query("sum by (reason) (rate(review_consumer_dead_letters_total[$__rate_interval]))", "{{reason}}"),),
        ),
        Panel(
            "Partitions lost, and refused, in an hour",
            "Lost: this member was silent for longer than the session time-out. Refused: state and committed offset "
            "disagree.",
            "short",
            (
                Query("sum(increase(review_consumer_lost_partitions_total[1h]))", "lost"),
                Query("sum(increase(review_consumer_refused_partitions_total[1h]))", "refused"),
            ),
            bad_above=1,
        ),
    ),
)

BATCHED = Row(
    "4. Do they wait for a batch?",
    (
        Panel(
            "Wait for a micro-batch",
            "95 in 100 are quicker. Above LINGER_MAX_SECONDS: all permits or tokens are taken, the engine is the "
            "limit. Only summaries high: they rank below fresh reviews, as they should.",
            "s",
            (Query(_quantile(0.95, "review_consumer_queue_seconds", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Items that wait",
            "Rising: more comes than the engine answers. 0 with lag: records are not taken, see row 2.",
            "short",
            (Query("sum(review_consumer_waiting_items)", "waiting"),),
        ),
        Panel(
            "Why batches were sent",
            "With a backlog nearly all are `full_tokens` or `full_items`. With a backlog and mostly `linger_max`: too "
            "few items get in, LANE_MAX_RECORDS or partitions are too few.",
            "ops",
            (Query("sum by (reason) (rate(review_consumer_batches_total[$__rate_interval]))", "{{reason}}"),),
        ),
        Panel(
            "How full batches are",
            "Mean tokens against the budget. Low with a backlog: VLLM_MAX_BATCH_SIZE ends batches before their tokens "
            "do.",
            "percentunit",
            (Query(_mean("review_consumer_batch_fill_ratio"), "full"),),
        ),
        Panel(
            "Tokens in the engine, and their ceiling",
            "At the ceiling: the engine has all it may have. A ceiling far below its usual: KV cache or queue of the "
            "engine are full, see the engine's dashboard.",
            "short",
            (
                Query("sum(review_consumer_in_flight_tokens)", "in flight"),
                Query("sum(review_consumer_in_flight_ceiling_tokens)", "ceiling"),
            ),
        ),
        Panel(
            "Batches in the engine, and permits",
            "At the permits with tokens far below their ceiling: batches are small, or one item of each is slow.",
            "short",
            (
                Query("sum(review_consumer_in_flight_batches)", "in flight"),
                Query("sum(review_consumer_in_flight_ceiling_batches)", "permits"),
            ),
        ),
    ),
)

ENGINE = Row(
    "5. Is it the engine?",
    (
        Panel(
            "The engine takes work",
            "By member. 0: it is dead, does not start, or refuses; records wait in Kafka.",
            "short",
            (Query("review_consumer_engine_up", "{{instance}}"),),
            bad_below=1,
        ),
        Panel(
            "What the engine's time goes to",
            "`busy` near 100 % with lag: it is too small or too slow, add members or a larger engine. `held`: work "
            "waits and the engine has none: with little to do it waits for company, with lag it is a fault of ours. "
            "`idle` with lag: records are not taken, see row 2.",
            "percentunit",
            (Query(_SHARE_OF_TIME, "{{state}}"),),
        ),
        Panel(
            "Time of an item in the engine",
            "95 in 100 are quicker. Several times its usual at the same load: the engine has become slow, see its "
            "dashboard.",
            "s",
            (Query(_quantile(0.95, "review_consumer_engine_seconds", "kind"), "{{kind}}"),),
            bad_above=10,
        ),
        Panel(
            "Items tried again",
            "`engine_timeout`: it is too slow, or hangs. `engine_error`: its log says why. `invalid_answer`: the model "
            "is off its form.",
            "ops",
            (Query("sum by (reason) (rate(review_consumer_retries_total[$__rate_interval]))", "{{reason}}"),),
        ),
        Panel(
            "Outages and restarts in an hour",
            "`died`, `not_started`: ENGINE_MAX_RESTARTS in a row end the process. `unavailable`: waited for without "
            "end.",
            "short",
            (
                Query("sum by (reason) (increase(review_consumer_engine_outages_total[1h]))", "{{reason}}"),
                Query("sum(increase(review_consumer_engine_restarts_total[1h]))", "restarts"),
            ),
        ),
        Panel(
            "Items that may have killed it",
            "Above 0: it died with these in flight, and they are tried apart until the culprit is alone.",
            "short",
            (Query("sum(review_consumer_suspect_items)", "suspects"),),
            bad_above=1,
        ),
    ),
)

AROUND = Row(
    "6. And around it",
    (
        Panel(
            "Event loop's lateness, and age of the last poll",
            "Seconds: the process computes too much in its event loop, or its CPU is taken. /livez fails when polls "
            "stand.",
            "s",
            (
                Query("max(review_consumer_event_loop_lag_seconds)", "event loop"),
                Query("max(review_consumer_poll_age_seconds)", "last poll"),
            ),
            bad_above=1,
        ),
        Panel(
            "Shared cache",
            "0: REDIS_URL does not answer. Nothing depends on it; equal texts of different members are asked twice.",
            "short",
            (Query("min(max_over_time(review_consumer_shared_cache_up[2m]))", "answered in 2 minutes"),),
            bad_below=1,
        ),
        Panel(
            "Memory of the process, and state on disk",
            "Memory that only rises: a leak, report it. State grows with restaurants and reviews that no summary has "
            "read.",
            "bytes",
            (
                Query('max(process_resident_memory_bytes{job="review-consumer"})', "memory, the largest member"),
                Query("sum(review_consumer_state_bytes)", "state, all partitions"),
            ),
        ),
        Panel(
            "Calls of the gateway",
            "By status. 503: nobody answers, or as much as allowed is at work. 504: nothing was ready in time.",
            "reqps",
            (
                Query(
                    "sum by (status) (rate(review_gateway_request_seconds_count[$__rate_interval]))",
                    "{{status}}",
                ),
            ),
        ),
        Panel(
            "Time of a call",
            "95 in 100 are quicker. Near GATEWAY_TIMEOUT_SECONDS: requests wait behind something, see row 4.",
            "s",
            (Query(_quantile(0.95, "review_gateway_request_seconds", "route"), "{{route}}"),),
        ),
        Panel(
            "Gateways that are heard",
            "Ready gateways, and those whose requests nobody answers.",
            "short",
            (
                Query("sum(review_gateway_ready)", "ready"),
                Query("sum(review_gateway_silent)", "unanswered"),
            ),
        ),
    ),
)

PIPELINE = Dashboard(
    "review-pipeline",
    "Reviews: why is it late?",
    "From top to bottom: **the first row with something red, or out of its usual, is the reason**; each panel's (i) "
    "says what a bad value means. Row 1 says whether it is late at all, and which stage takes the time. No row is red "
    "and it is late: the engine is busy and too small (row 5, `busy` near 100 %). What to do: the runbook in "
    "`deploy/README.md`, one entry an alert.",
    (LATE, TAKEN, COMMITTED, BATCHED, ENGINE, AROUND),
)
