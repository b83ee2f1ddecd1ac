"""Which aspects a sentence speaks of, by its words: the lexicon is `aspects.txt`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from consumer.analysis.task import AspectName

Words = tuple[str, ...]
"""Parts of a padded text: a space in front ties a word to a beginning, one behind to an end."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What is said of each aspect, aspects in their declared order. Texts are in normal form (analysis/text.py)."""

    strong: Mapping[AspectName, Words]
    weak: Mapping[AspectName, Words]
    dish: Words

    def aspects(self, text: str) -> tuple[AspectName, ...]:
        """What a sentence speaks of; only where no strong word says it, what a weak one names."""
        padded = f" {text} "
        strong = tuple(name for name, words in self.strong.items() if _any(words, padded))
        return strong or tuple(name for name, words in self.weak.items() if _any(words, padded))

    def dishes(self, text: str) -> frozenset[str]:
        """The dishes that a sentence names, each by its longest name: no "찌개" beside "된장찌개"."""
        found = [word for word in self.dish if word in f" {text} "]
        return frozenset(w.strip() for w in found if not any(w in other and w != other for other in found))


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that ships with the package."""
    return _read(files("consumer.analysis").joinpath("aspects.txt").read_text("utf-8"))


def word_lists(text: str) -> dict[str, Words]:
    """The lists of a lexicon file by what stands before their colon less the language: `food`, `food weak`, `dish`.

    Korean words match anywhere inside a word; `^` ties one to a beginning and `$` to an end. English words match
    whole, with `*` their beginning.
    """
    lists: dict[str, Words] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        head, _, listed = line.partition(":")
        name, language, *weak = head.split()
        mark = _english if language == "en" else _korean
        key = " ".join((name, *weak))
        lists[key] = lists.get(key, ()) + tuple(mark(word.strip()) for word in listed.split(","))
    return lists


def _read(text: str) -> Lexicon:
    lists = word_lists(text)
    lists[f"{AspectName.FOOD} weak"] += lists["dish"]
    return Lexicon(_by_aspect(lists, ""), _by_aspect(lists, " weak"), lists["dish"])


def _by_aspect(lists: Mapping[str, Words], strength: str) -> Mapping[AspectName, Words]:
    return {name: words for name in AspectName if (words := lists.get(f"{name}{strength}"))}


def _any(words: Iterable[str], padded: str) -> bool:
    return any(word in padded for word in words)


def _korean(word: str) -> str:
    return word.replace("^", " ").replace("$", " ")


def _english(word: str) -> str:
    return f" {word[:-1]}" if word.endswith("*") else f" {word} "
