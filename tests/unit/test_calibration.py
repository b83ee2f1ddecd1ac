"""Judging, fitting and the file: what is refused, what is chosen, what is kept."""

import random
from datetime import UTC, datetime
from math import inf, isclose, nan
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from consumer.analysis import calibration_file, fitting
from consumer.analysis.answers import InvalidAnswer
from consumer.analysis.calibration import IDENTITY, Calibration
from consumer.analysis.calibration_file import CalibrationFile, Fit
from consumer.analysis.judging import Judged, judge
from consumer.analysis.labelled import LabelledReview
from consumer.analysis.metrics import figures
from consumer.analysis.sentiment import log_odds, read_sentiment, read_sign
from consumer.analysis.task import Kind, Task
from consumer.cli.calibrate import Part, best
from consumer.engines.contract import Answer
from consumer.engines.local.engine import LocalEngine
from consumer.errors import ConfigError
from consumer.pipeline.asking import Outcome
from consumer.pipeline.assembly import assemble
from consumer.settings import load
from schemas.base import Sentiment

POSITIVE, NEGATIVE, NEUTRAL = Sentiment
FIGURES = figures([Judged(POSITIVE, POSITIVE, 0.75, 1.0), Judged(NEGATIVE, POSITIVE, 0.75, 0.5)], 3)
MADE = CalibrationFile(
    engine="local",
    model="m/1",
    prompt="sentiment/1",
    slope=2.0,
    bias=-0.5,
    neutral_margin=0.0,
    created_at=datetime(2026, 3, 2, tzinfo=UTC),
    seed=0,
    fitted={POSITIVE: 1, NEGATIVE: 1, NEUTRAL: 0},
    held_out=Fit(before=FIGURES, after=FIGURES),
)


def judged(truth: Sentiment, odds: float | None) -> Judged:
    """An answer with these log-odds."""
    return Judged(truth, POSITIVE, None, odds)


def spread(truth: Sentiment, centre: float, count: int) -> list[Judged]:
    """Answers around a centre, the same each time."""
    draw = random.Random(truth)
    return [judged(truth, draw.gauss(centre, 1)) for _ in range(count)]


def test_a_fitted_calibration_without_a_margin_never_says_neutral() -> None:
    """Whatever the engine's own neutral is worth."""
    answer = Answer(label_logprobs={POSITIVE: -3.0, NEGATIVE: -4.0, NEUTRAL: -0.1})
    assert read_sentiment(answer).label is NEUTRAL
    verdict = read_sentiment(answer, Calibration(neutral_margin=0.0))
    assert verdict.label is POSITIVE
    assert verdict.score is not None
    assert isclose(verdict.score, 0.7310585786)


def test_the_sign_is_the_larger_of_two() -> None:
    """With its probability against the other alone; equal: positive; a label alone stays what it is."""
    verdict = read_sign(Answer(label_logprobs={POSITIVE: -3.0, NEGATIVE: -4.0, NEUTRAL: -0.1}))
    assert verdict.label is POSITIVE
    assert verdict.score is not None
    assert isclose(verdict.score, 0.7310585786)
    assert read_sign(Answer(label_logprobs={NEGATIVE: -800.0, POSITIVE: -800.0, NEUTRAL: 0.0})).label is POSITIVE
    assert read_sign(Answer(label_logprobs={NEGATIVE: -9.0, NEUTRAL: 0.0})).label is NEGATIVE
    assert read_sign(Answer(label_logprobs={NEUTRAL: 0.0})).label is NEUTRAL
    assert read_sign(Answer(label=NEUTRAL)).label is NEUTRAL
    with pytest.raises(InvalidAnswer):
        read_sign(Answer())


def test_log_odds_are_of_what_the_engine_gave() -> None:
    """None where one of the two is absent, or both are impossible; infinite where one is."""
    assert log_odds(Answer(label_logprobs={POSITIVE: -1.0, NEGATIVE: -3.0})) == 2.0
    assert log_odds(Answer(label_logprobs={POSITIVE: -inf, NEGATIVE: -3.0})) == -inf
    assert log_odds(Answer(label_logprobs={POSITIVE: -inf, NEGATIVE: -inf, NEUTRAL: 0.0})) is None
    assert log_odds(Answer(label_logprobs={POSITIVE: -1.0})) is None
    assert log_odds(Answer(label=POSITIVE)) is None


def test_what_cannot_be_read_is_no_answer() -> None:
    """It is counted, not guessed."""
    assert judge(Answer(label_logprobs={POSITIVE: nan}), POSITIVE, IDENTITY, by_sign=False) is None
    assert judge(Answer(), POSITIVE, IDENTITY, by_sign=True) is None


def test_the_figures_of_a_few_answers() -> None:
    """By hand: one of two right, both said with 0.75; F1 of positive 2/3, of negative 0."""
    assert FIGURES.reviews == 3
    assert FIGURES.valid == 2
    assert FIGURES.accuracy == 0.5
    assert FIGURES.macro_f1 == pytest.approx(1 / 3)
    assert FIGURES.auc == 1.0
    assert FIGURES.calibration_error == pytest.approx(0.25)
    assert FIGURES.confusion[NEGATIVE] == {POSITIVE: 1, NEGATIVE: 0, NEUTRAL: 0}


def test_no_answers_have_no_figures() -> None:
    """None, never a division by nothing."""
    found = figures([], 5)
    assert (found.accuracy, found.macro_f1, found.auc, found.calibration_error) == (None, None, None, None)


def test_the_fit_finds_the_middle_between_the_classes() -> None:
    """An engine that leans by 3 towards positive is set right."""
    found = fitting.fit([*spread(POSITIVE, 4, 200), *spread(NEGATIVE, 2, 200), *spread(NEUTRAL, 9, 50)])
    assert found.slope > 0
    assert -found.bias / found.slope == pytest.approx(3, abs=0.2)
    assert found.neutral_margin == 0.0


def test_an_impossible_label_does_not_break_the_fit() -> None:
    """Infinite log-odds are very large ones; answers without any are left out."""
    answers = [*spread(POSITIVE, 2, 50), *spread(NEGATIVE, -2, 50)]
    found = fitting.fit([*answers, judged(POSITIVE, inf), judged(NEGATIVE, -inf), judged(NEGATIVE, None)])
    assert found.slope > 0


def test_answers_that_run_against_the_labels_are_refused() -> None:
    """A slope below 0 would turn every probability round."""
    with pytest.raises(ConfigError, match="must be above 0"):
        fitting.fit([*spread(POSITIVE, -2, 50), *spread(NEGATIVE, 2, 50)])


def test_answers_that_are_all_alike_are_refused() -> None:
    """They tell nothing."""
    with pytest.raises(ConfigError, match="must be above 0"):
        fitting.fit([judged(truth, 1.0) for truth in (POSITIVE, NEGATIVE) for _ in range(50)])


def test_an_engine_without_log_probabilities_is_refused() -> None:
    """There is nothing to scale."""
    with pytest.raises(ConfigError, match="no log-probabilities"):
        fitting.fit([judged(truth, None) for truth in (POSITIVE, NEGATIVE) for _ in range(50)])


def test_too_few_of_a_label_are_refused() -> None:
    """With how many there are, and how many are needed."""
    with pytest.raises(ConfigError, match=r"only 9 negative .* at least 10 positive and 10 negative"):
        fitting.fit([*spread(POSITIVE, 2, 50), *spread(NEGATIVE, -2, 9)])


def test_a_margin_is_found_where_neutral_lies_in_the_middle() -> None:
    """And leaves the clear ones alone; too few neutral ones: none is looked for."""
    answers = [*spread(POSITIVE, 6, 100), *spread(NEGATIVE, -6, 100), *spread(NEUTRAL, 0, 100)]
    found = fitting.with_margin(fitting.fit(answers), answers)
    assert found is not None
    labels = {
        truth: [
            read_sentiment(Answer(label_logprobs={POSITIVE: j.log_odds or 0.0, NEGATIVE: 0.0}), found).label
            for j in answers
            if j.truth is truth
        ]
        for truth in Sentiment
    }
    assert all(said.count(truth) >= 95 for truth, said in labels.items())
    assert fitting.with_margin(fitting.fit(answers), answers[:205]) is None


def test_the_file_comes_back_as_it_was(tmp_path: Path) -> None:
    """And no file is the identity."""
    path = tmp_path / "calibration.json"
    calibration_file.save(path, MADE)
    assert CalibrationFile.model_validate_json(path.read_bytes()) == MADE
    assert calibration_file.load(path, "local", "m/1") == Calibration(2.0, -0.5, 0.0)
    assert calibration_file.load(None, "local", "m/1") is IDENTITY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"engine": "vllm"}, "engine 'vllm', and this is 'local'"),
        ({"model": "m/2"}, "model 'm/2', and this is 'm/1'"),
        ({"prompt": "sentiment/9"}, "prompt 'sentiment/9', and this is 'sentiment/1'"),
    ],
)
def test_a_file_of_another_set_up_is_refused(tmp_path: Path, change: dict[str, str], says: str) -> None:
    """The message names the file, what differs, and what to do."""
    path = tmp_path / "calibration.json"
    calibration_file.save(path, MADE.model_copy(update=change))
    with pytest.raises(ConfigError) as caught:
        calibration_file.load(path, "local", "m/1")
    assert f"CALIBRATION_FILE={path} was made for {says}" in str(caught.value)
    assert "review-consumer calibrate" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Invalid JSON"),
        ("[]", "file: "),
        ("{}", "slope: Field required"),
        (MADE.model_copy(update={"slope": 0.0}).model_dump_json(), "slope: Input should be greater than 0"),
        (MADE.model_copy(update={"neutral_margin": -1.0}).model_dump_json(), "neutral_margin: "),
        (MADE.model_copy(update={"format": 2}).model_dump_json(warnings=False), "format: Input should be 1"),
        (MADE.model_dump_json().replace('"bias":-0.5', '"bias":1e999'), "bias: "),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """With where, and what is allowed."""
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        calibration_file.load(path, "local", "m/1")
    assert f"CALIBRATION_FILE={path} is no calibration" in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """As one that cannot be written."""
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        calibration_file.load(tmp_path / "none.json", "local", "m/1")
    with pytest.raises(ConfigError, match=r"cannot be written: No such file"):
        calibration_file.save(tmp_path / "none" / "calibration.json", MADE)


def part(answers: list[Judged]) -> Part:
    """The same answers as the engine gives them."""
    task = Task(Kind.SENTIMENT, "ko", ("",))
    said = [Answer(label_logprobs={POSITIVE: j.log_odds or 0.0, NEGATIVE: 0.0}) for j in answers]
    return Part(
        [LabelledReview("", None, j.truth) for j in answers], [Outcome(task, answer) for answer in said], by_sign=False
    )


def test_a_margin_stays_only_where_it_helps_on_the_held_out_part() -> None:
    """The fitted part alone would always take one."""
    polar = [*spread(POSITIVE, 6, 100), *spread(NEGATIVE, -6, 100)]
    fitted = part([*polar, *spread(NEUTRAL, 0, 100)])
    assert (best(fitted, fitted).neutral_margin or 0) > 1
    elsewhere = part([*spread(POSITIVE, 1, 100), *spread(NEGATIVE, -1, 100), *spread(NEUTRAL, 9, 10)])
    assert best(fitted, elsewhere).neutral_margin == 0.0


def test_the_service_refuses_a_calibration_at_its_start(tmp_path: Path) -> None:
    """Before it asks the engine anything."""
    path = tmp_path / "calibration.json"
    calibration_file.save(path, MADE)
    settings = load()
    counts = {settings.topics.reviews: 4, settings.topics.by_group: 4, settings.topics.requests: 4}
    changed = settings.engine.model_copy(update={"calibration_file": path})
    with pytest.raises(ConfigError, match="model 'm/1', and this is 'char-ngram-linear"):
        assemble(settings.model_copy(update={"engine": changed}), LocalEngine(), CollectorRegistry(), counts)
