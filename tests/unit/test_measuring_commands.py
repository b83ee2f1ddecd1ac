"""`review-consumer calibrate` and `evaluate` as a person meets them, on the embedded engine and a scripted one."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from consumer.analysis.calibration_file import CalibrationFile
from consumer.analysis.task import Kind, Task
from consumer.cli import app, measuring
from consumer.engines.contract import Answer, Deliver, Fault, Prepared
from consumer.errors import ConfigError, DeadLetter, EngineDown
from consumer.hooks import logs
from consumer.settings import entries, load
from schemas.base import Sentiment
from tests.integration.scripted import ScriptedEngine

REVIEWS = Path(__file__).parents[1] / "data" / "nsmc_reviews.jsonl"


@pytest.fixture(autouse=True)
def _by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours from outside, and the process' logging left as it is."""
    for entry in list(entries(load())):
        monkeypatch.delenv(entry.variable, raising=False)
    monkeypatch.setattr(logs, "configure", lambda *_: None)


def invoke(*arguments: object) -> Result:
    """Run the command; what it raises is raised, but for its exit status."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def polar(folder: Path) -> Path:
    """The reviews that are rated 1, 2, 4 or 5."""
    path = folder / "polar.jsonl"
    lines = [line for line in REVIEWS.read_text("utf-8").splitlines() if json.loads(line)["rating"] != 3]
    path.write_text("\n".join(lines), "utf-8")
    return path


def scripted(monkeypatch: pytest.MonkeyPatch, script: Callable[[Task, int], Answer | Fault | None]) -> None:
    """Let a scripted engine answer."""
    monkeypatch.setattr(measuring, "choose_engine", lambda _settings: ScriptedEngine(script))


def report(*arguments: object) -> dict[str, Any]:
    """What `evaluate --json` prints."""
    done = invoke("evaluate", *arguments, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_local_engine_is_calibrated_and_measured(tmp_path: Path) -> None:
    """On half of the movie reviews, for the other half: 0.778, 0.760, 0.046 when this was written."""
    out = tmp_path / "calibration.json"
    done = invoke("calibrate", polar(tmp_path), "--out", out)
    assert done.exit_code == 0
    made = CalibrationFile.model_validate_json(out.read_bytes())
    before, after = made.held_out.before, made.held_out.after
    assert after.valid == after.reviews == 126
    assert sum(made.fitted.values()) == 125
    assert made.neutral_margin == 0
    assert (after.accuracy or 0) >= 0.74
    assert (after.macro_f1 or 0) >= 0.72
    assert (after.auc or 0) >= 0.79
    assert (after.calibration_error or 1) < (before.calibration_error or 0)
    assert f"CALIBRATION_FILE={out}" in done.output
    assert "0.778" in done.output


def test_a_calibration_is_what_evaluate_and_run_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluated on the same file, it changes the figures; another model's is refused before anything is asked."""
    path, out = polar(tmp_path), tmp_path / "calibration.json"
    plain = report(path)
    invoke("calibrate", path, "--out", out)
    monkeypatch.setenv("CALIBRATION_FILE", str(out))
    calibrated = report(path)
    assert (plain["calibration"], calibrated["calibration"]) == (None, str(out))
    assert calibrated["figures"]["calibration_error"] < plain["figures"]["calibration_error"]
    assert calibrated["figures"]["auc"] == plain["figures"]["auc"]
    scripted(monkeypatch, lambda _task, _time: pytest.fail("asked"))
    with pytest.raises(ConfigError, match="engine 'local', and this is 'scripted'"):
        invoke("evaluate", path)


def test_neutral_labels_are_judged_by_the_label(tmp_path: Path) -> None:
    """Where the file knows none, by the sign, unless it is asked otherwise: then a neutral answer is wrong."""
    path = polar(tmp_path)
    with_neutral, by_sign, strict = report(REVIEWS), report(path), report(path, "--count-neutral-as-wrong")
    assert [r["judged_by"] for r in (with_neutral, by_sign, strict)] == ["label", "sign", "label"]
    said = by_sign["figures"]["confusion"]
    assert said["positive"]["neutral"] == said["negative"]["neutral"] == 0
    assert strict["figures"]["confusion"]["positive"]["neutral"] > 0
    assert strict["figures"]["accuracy"] < by_sign["figures"]["accuracy"]
    assert sum(with_neutral["figures"]["confusion"]["neutral"].values()) == 49


def test_bad_lines_are_named_and_the_rest_is_measured(tmp_path: Path) -> None:
    """Status 1, as `send` has it."""
    path = tmp_path / "reviews.csv"
    path.write_text("content,label\n맛있어요,positive\n별로예요,bad\n실망했어요,negative\n", "utf-8")
    done = invoke("evaluate", path)
    assert done.exit_code == 1
    assert done.stderr == "line 3: label: Input should be 'positive', 'negative' or 'neutral'\n"
    assert "judged by" in done.stdout
    assert "true label" in done.stdout


def test_failed_items_are_counted_and_the_others_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By reason; the shares are of what could be read."""

    def script(task: Task, _time: int) -> Answer | Fault | None:
        text = "".join(task.reviews)
        if "다섯" in text:
            return DeadLetter("engine_error", "broken")
        return Answer() if "여섯" in text else Answer(label=Sentiment.POSITIVE)

    scripted(monkeypatch, script)
    path = tmp_path / "reviews.jsonl"
    texts = ("하나", "둘", "셋", "넷", "다섯", "여섯")
    path.write_text("".join(f'{{"content":"{text}","is_recommended":true}}\n' for text in texts), "utf-8")
    found = report(path)
    assert found["failures"] == {"engine_error": 1, "invalid_answer": 1}
    assert (found["figures"]["reviews"], found["figures"]["valid"], found["figures"]["accuracy"]) == (6, 4, 1.0)
    assert found["figures"]["auc"] is None
    assert found["figures"]["calibration_error"] is None


def test_an_engine_that_prints_does_not_spoil_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor do its processes: they have the same standard output."""

    def script(_task: Task, _time: int) -> Answer | Fault | None:
        os.write(1, b"chatter\n")
        return None

    scripted(monkeypatch, script)
    report(polar(tmp_path))
    said = capfd.readouterr()
    assert "chatter" not in said.out
    assert "chatter" in said.err
    os.write(1, b"back\n")
    assert capfd.readouterr().out == "back\n"


def test_an_engine_that_is_down_ends_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1."""

    class Dying(ScriptedEngine):
        async def run(self, *_: object) -> None:
            raise EngineDown("its worker is gone")

    monkeypatch.setattr(measuring, "choose_engine", lambda _settings: Dying())
    done = invoke("evaluate", polar(tmp_path))
    assert done.exit_code == 1
    assert done.stderr == "the engine is down: its worker is gone\n"


def test_a_sigterm_stops_the_engine_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes would go on without us."""

    class Endless(ScriptedEngine):
        async def run(self, batch: Sequence[Prepared], deliver: Deliver) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
            await super().run(batch, deliver)

    engine = Endless()
    monkeypatch.setattr(measuring, "choose_engine", lambda _settings: engine)
    assert invoke("evaluate", polar(tmp_path)).exit_code == 143
    assert not engine.health().ready


@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
def test_files_that_cannot_be_used(tmp_path: Path, command: str) -> None:
    """A message, not a traceback."""
    with pytest.raises(ConfigError, match=r"none\.jsonl cannot be read: No such file"):
        invoke(command, tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(ConfigError, match=r"empty\.jsonl holds no review that can be used"):
        invoke(command, empty)


def test_too_few_labels_are_refused_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is a place that cannot be written to."""
    scripted(monkeypatch, lambda _task, _time: pytest.fail("asked"))
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(f'{{"content":"리뷰 {n}","rating":5}}\n' for n in range(100)), "utf-8")
    with pytest.raises(ConfigError, match="only 0 negative reviews"):
        invoke("calibrate", path)
    with pytest.raises(ConfigError, match="none is no folder"):
        invoke("calibrate", path, "--out", tmp_path / "none" / "calibration.json")


def test_summaries_are_measured_by_their_form(tmp_path: Path) -> None:
    """One task a restaurant of at most 16 reviews; labels are not needed."""
    path = tmp_path / "reviews.jsonl"
    lines = [{"content": "고기가 정말 맛있어요", "restaurant_id": n % 2} for n in range(20)]
    lines += [{"content": "직원이 불친절해요"} for _ in range(17)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    found = report(path, "--summaries")
    assert found["judged_by"] == "form"
    assert found["figures"]["tasks"] == found["figures"]["valid"] == 4
    assert found["figures"]["cited"] == 1.0
    assert found["figures"]["aspects"] == 3  # the 17th review is alone in its task
    assert found["figures"]["covered"] == 1.0
    assert invoke("evaluate", path, "--summaries").exit_code == 0


def test_claims_that_cite_nothing_and_answers_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the claims has no valid number; one answer is no JSON."""
    claim = {"aspect": "food", "claim": "맛있다."}
    good = {
        "overall_summary": "좋다.",
        "positive_aspects": [claim | {"reviews": [1]}, claim | {"reviews": [2, 16]}],
        "negative_aspects": [claim | {"reviews": [16]}],
    }

    def script(task: Task, _time: int) -> Answer | Fault | None:
        assert task.kind is Kind.SUMMARY
        return Answer(text="{" if "나쁨" in task.reviews[0] else json.dumps(good))

    scripted(monkeypatch, script)
    path = tmp_path / "reviews.jsonl"
    lines = [{"content": text, "restaurant_id": text} for text in ("서비스 좋음", "서비스 좋음", "나쁨")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    found = report(path, "--summaries")
    assert found["failures"] == {"invalid_answer": 1}
    figures = found["figures"]
    assert (figures["tasks"], figures["valid"], figures["claims"]) == (2, 1, 3)
    assert figures["cited"] == pytest.approx(2 / 3)
    assert (figures["aspects"], figures["covered"]) == (1, 0.0)
    assert figures["claims_per_summary"] == 2.0
    assert (figures["overall_characters"], figures["claim_characters"]) == (3.0, 4.0)
