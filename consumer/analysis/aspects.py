"""Which aspects a sentence speaks of, by its words: the lexicon is `aspects.txt`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from consumer.analysis.task import AspectName

_DISH = "dish"

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


def _read(text: str) -> Lexicon:
    words: dict[tuple[str, bool], Words] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        head, _, listed = line.partition(":")
        name, language, *weak = head.split()
        mark = _english if language == "en" else _korean
        found = tuple(mark(word.strip()) for word in listed.split(","))
        words[name, bool(weak)] = words.get((name, bool(weak)), ()) + found
    dishes = words.pop((_DISH, False))
    words[AspectName.FOOD, True] += dishes
    return Lexicon(_of_strength(words, weak=False), _of_strength(words, weak=True), dishes)


def _of_strength(words: Mapping[tuple[str, bool], Words], *, weak: bool) -> Mapping[AspectName, Words]:
    return {name: words[name, weak] for name in AspectName if (name, weak) in words}


def _any(words: Iterable[str], padded: str) -> bool:
    return any(word in padded for word in words)


def _korean(word: str) -> str:
    """Anywhere inside a word; `^` where it begins one, `$` where it ends one."""
    return word.replace("^", " ").replace("$", " ")


def _english(word: str) -> str:
    """A whole word, or with `*` its beginning."""
    return f" {word[:-1]}" if word.endswith("*") else f" {word} "
