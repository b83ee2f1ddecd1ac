"""What comes out: how much, of what kind, and signals of its quality."""

from deploy.grafana.parts import Dashboard, Panel, Query, Row

_COMPARED = 'sum by (field) (increase(review_consumer_compared_labels_total{{result=~"{}"}}[1h]))'
_SHARE = "sum(increase({part}[1h])) / (sum(increase({whole}[1h])) > 0)"

VOLUME = Row(
    "How much",
    (
        Panel(
            "Results by kind",
            "A kind at 0 while the others go on: jobs of that kind fail, see below. All at 0: the pipeline's "
            "dashboard.",
            "reqps",
            (Query("sum by (kind) (rate(review_consumer_results_total[$__rate_interval]))", "{{kind}}"),),
        ),
        Panel(
            "What became of the records",
            "`duplicate` and `superseded` in numbers: upstream sends things twice, or late. `expired`: deadlines are "
            "shorter than the queue.",
            "reqps",
            (Query("sum by (outcome) (rate(review_consumer_records_total[$__rate_interval]))", "{{outcome}}"),),
        ),
        Panel(
            "Dead letters in an hour",
            "By reason; each has a line in the runbook.",
            "short",
            (Query("sum by (reason) (increase(review_consumer_dead_letters_total[1h]))", "{{reason}}"),),
        ),
    ),
)

QUALITY = Row(
    "How good: shares of the last hour",
    (
        Panel(
            "Dead letters of all records",
            "Rising: see their reasons beside it.",
            "percentunit",
            (
                Query(
                    _SHARE.format(part="review_consumer_dead_letters_total", whole="review_consumer_records_total"),
                    "dead letters",
                ),
            ),
            bad_above=0.05,
        ),
        Panel(
            "Labels that disagree with the guest",
            "Of the reviews that say themselves whether they recommend, or how many stars. A rise after a new model, "
            "prompt or calibration is theirs; a slow rise: guests write differently than what it was calibrated on.",
            "percentunit",
            (
                Query(
                    f"{_COMPARED.format('disagree')} / ({_COMPARED.format('agree|disagree')} > 0)",
                    "{{field}}",
                ),
            ),
            bad_above=0.3,
        ),
        Panel(
            "Labels that take no side",
            "Neutral labels, or ratings in the middle, of those compared. Far from its usual: the calibration's "
            "neutral margin.",
            "percentunit",
            (
                Query(
                    'sum(increase(review_consumer_compared_labels_total{result="neutral"}[1h])) / '
                    "(sum(increase(review_consumer_compared_labels_total[1h])) > 0)",
                    "neutral",
                ),
            ),
        ),
        Panel(
            "Claims that no review bears out",
            "Dropped, in an hour, by kind. Many a summary: the model invents; try another, or a lower temperature is "
            "of no use here: it is greedy already.",
            "short",
            (Query("sum by (kind) (increase(review_consumer_ungrounded_claims_total[1h]))", "{{kind}}"),),
        ),
        Panel(
            "Answers that were off their form",
            "By kind, in an hour. They are asked for once more, then become dead letters or failed jobs. Many: the "
            "engine takes no JSON schemas, or the model is too small.",
            "short",
            (Query("sum by (kind) (increase(review_consumer_invalid_answers_total[1h]))", "{{kind}}"),),
        ),
        Panel(
            "Optional fields that were dropped",
            "Upstream sends them in a form that is not allowed; the reviews are answered without.",
            "short",
            (Query("sum by (field) (increase(review_consumer_dropped_fields_total[1h]))", "{{field}}"),),
        ),
    ),
)

JOBS = Row(
    "Summaries and strengths",
    (
        Panel(
            "Jobs that failed, in an hour",
            "They are tried again after pauses. Many: the model cannot make them, its answers are off their form, see "
            "above.",
            "short",
            (Query("sum by (kind) (increase(review_consumer_job_failures_total[1h]))", "{{kind}}"),),
        ),
        Panel(
            "Jobs that are parked",
            "They failed JOB_MAX_ATTEMPTS times, and wait for the restaurant's next review; the log names each, and "
            "why.",
            "short",
            (Query("sum by (topic) (review_consumer_parked_jobs)", "{{topic}}"),),
            bad_above=1,
        ),
        Panel(
            "Replies of the gateway that were dropped",
            "`unknown`: nobody waited any more; `repeat`: delivered twice, as at least once may; `unreadable`: a "
            "member of another version.",
            "short",
            (Query("sum by (reason) (increase(review_gateway_dropped_replies_total[1h]))", "{{reason}}"),),
        ),
    ),
)

RESULTS = Dashboard(
    "review-results",
    "Reviews: the results",
    "How much comes out, and whether it is any good. The shares are signals, not measurements: `review-consumer "
    "evaluate` on labelled reviews measures.",
    (VOLUME, QUALITY, JOBS),
)
