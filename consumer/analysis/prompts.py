"""The prompts: templates in files, named and versioned, and what a task puts into them. Reviews go in as data, fenced.

A file `{kind}.{version}.txt`, or `{kind}.{version}.{language}.txt`, holds the shared part (instructions and examples,
the same for every task), a line of `=====`, and the part that varies. Prompts are completions: they end where the
answer begins. A changed prompt is a new file and a new version; an old one is never edited once released.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from string import Template

from consumer.analysis.answers import MAX_REVIEWS
from consumer.analysis.task import Claim, Kind, Language, Task
from consumer.analysis.text import tidy

_VERSIONS = {Kind.SENTIMENT: 1, Kind.SUMMARY: 1, Kind.COMPARISON: 1, Kind.STRENGTH: 1}
_LETTERS = "sentiment-letters"
_LETTERS_VERSION = 1
_CUT = "\n=====\n"
_NONE: dict[Language, str] = {"ko": "(없음)", "en": "(none)"}
_STRICT_JSON: dict[Language, str] = {
    "ko": "다음 답은 위의 예와 똑같은 필드만 가진 짧은 JSON 한 줄이며, 다른 말은 쓰지 않습니다.",
    "en": "The next answer is one short line of JSON with exactly the fields of the example, and nothing else.",
}
_STRICTER: dict[Kind, dict[Language, str]] = {
    Kind.SENTIMENT: dict.fromkeys(("ko", "en"), "The next answer is exactly one of the three, and nothing else."),
    **dict.fromkeys((Kind.SUMMARY, Kind.COMPARISON, Kind.STRENGTH), _STRICT_JSON),
}
"""Said right before the question when the last answer was invalid. Part of every version of the prompts."""
_FENCES = str.maketrans("<>[]＜＞［］﹤﹥", "‹›()‹›()‹›")
"""A text with none of these can neither close its fence nor pass for a numbered line."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt in two parts: what all tasks of its name share, and what is this task's own."""

    name: str
    """Such as `sentiment` or `summary.ko`."""
    version: int
    prefix: str
    body: str

    @property
    def id(self) -> str:
        """Name and version of the shared part, such as `summary.ko/1`."""
        return f"{self.name}/{self.version}"

    @property
    def text(self) -> str:
        """The whole prompt."""
        return self.prefix + self.body


def prompt_id(kind: Kind, language: Language | None = None) -> str:
    """Name and version for a result's provenance: `sentiment/1`, `summary.ko/1`; without a language `summary/1`."""
    return f"{_name(kind, language) if language else kind}/{_VERSIONS[kind]}"


def render(task: Task, *, letters: bool = False) -> Rendered:
    """The prompt of a task. Raises ValueError when it holds more reviews than one prompt may.

    `letters`: sentiment is asked as A, B or C, a prompt of its own name, for models that cut the labels in pieces.
    """
    most = 1 if task.kind is Kind.SENTIMENT else MAX_REVIEWS
    if len(task.reviews) > most:
        raise ValueError(f"a {task.kind} task holds at most {most} reviews, not {len(task.reviews)}")
    name, version = _name(task.kind, task.language), _VERSIONS[task.kind]
    if letters and task.kind is Kind.SENTIMENT:
        name, version = _LETTERS, _LETTERS_VERSION
    shared, own = _template(name, version, answer_on_line=task.kind is Kind.SENTIMENT)
    body = Template(own).substitute(
        review=_fenced("review", "".join(task.reviews)),
        reviews=_lines(_review(task, n, text) for n, text in enumerate(task.reviews, 1)) or _none(task),
        claims=_lines(_claim(task, n, claim) for n, claim in enumerate(task.claims, 1)) or _none(task),
        background=_fenced("background", task.background) if task.background else _none(task),
    )
    stricter = f"\n{_STRICTER[task.kind][task.language]}\n" if task.strict else ""
    return Rendered(name, version, shared, stricter + body)


@lru_cache
def _template(name: str, version: int, *, answer_on_line: bool) -> tuple[str, str]:
    """Shared part and own part. Before JSON a line ends; a label follows on the same line."""
    stem, dot, tongue = name.partition(".")
    path = f"{stem}.{version}{dot}{tongue}.txt"
    shared, _, own = files("consumer.analysis").joinpath("prompts", path).read_text("utf-8").partition(_CUT)
    return shared + "\n", own.rstrip("\n") + ("" if answer_on_line else "\n")


def _name(kind: Kind, language: Language) -> str:
    """One prompt serves both languages where the answer is a label."""
    return str(kind) if kind is Kind.SENTIMENT else f"{kind}.{language}"


def _review(task: Task, number: int, text: str) -> str:
    leaning = task.leanings[number - 1] if task.leanings else None
    return _numbered(number, f"{f'({leaning}) ' if leaning else ''}{_fenced('review', text)}")


def _claim(task: Task, number: int, claim: Claim) -> str:
    text = f"{claim.aspect} ({claim.support}): {_fenced('claim', claim.text)}"
    if task.kind is Kind.STRENGTH:
        return _numbered(number, text)
    return f"- {claim.polarity} {text}" if task.kind is Kind.SUMMARY else f"- {text}"


def _numbered(number: int, text: str) -> str:
    return f"[{number}] {text}"


def _fenced(tag: str, text: str) -> str:
    return f"<{tag}>{tidy(text).translate(_FENCES)}</{tag}>"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _none(task: Task) -> str:
    return _NONE[task.language]
