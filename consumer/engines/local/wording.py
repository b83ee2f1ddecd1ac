"""What the local engine says, in Korean and English: whole sentences, put together from counted aspects."""

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.analysis.answers import MAX_PARAGRAPH
from consumer.analysis.task import AspectName, Language
from consumer.analysis.text import shorten

_NAMES: dict[Language, dict[AspectName, str]] = {
    "ko": {
        AspectName.FOOD: "음식 맛",
        AspectName.SERVICE: "서비스",
        AspectName.PRICE: "가격",
        AspectName.ATMOSPHERE: "분위기",
        AspectName.WAITING: "대기 시간",
        AspectName.CLEANLINESS: "청결",
        AspectName.PORTION: "음식의 양",
        AspectName.LOCATION: "위치",
        AspectName.OTHER: "전반적인 경험",
    },
    "en": {
        AspectName.FOOD: "the food",
        AspectName.SERVICE: "the service",
        AspectName.PRICE: "the prices",
        AspectName.ATMOSPHERE: "the atmosphere",
        AspectName.WAITING: "the waiting time",
        AspectName.CLEANLINESS: "the cleanliness",
        AspectName.PORTION: "the portions",
        AspectName.LOCATION: "the location",
        AspectName.OTHER: "the visit as a whole",
    },
}
_MOST = 3
"""Aspects that one sentence names."""
_MANY = 3
"""Reviews from which on praise counts as frequent."""


@dataclass(frozen=True, slots=True)
class Point:
    """One aspect, how many reviews say it, and dishes that several of them name."""

    aspect: AspectName
    support: int
    dishes: tuple[str, ...] = ()


def overall(language: Language, praised: Sequence[Point], blamed: Sequence[Point]) -> str:
    """What is praised and what is not, the more frequent first; points most supported first."""
    say = _overall_ko if language == "ko" else _overall_en
    return shorten(say(praised[:_MOST], blamed[:_MOST]), MAX_PARAGRAPH)


def comparison(language: Language, praised: Sequence[Point]) -> str:
    """What the other restaurants are praised for."""
    if not praised:
        nobody = "비슷한 식당들에도 뚜렷한 칭찬이 아직 없습니다."
        return nobody if language == "ko" else "Similar restaurants are not clearly praised for anything yet."
    listed = _listed(language, praised[:_MOST])
    if language == "ko":
        return f"비슷한 식당들은 {listed} 면에서 좋은 평을 받습니다."
    return f"Similar restaurants are praised for {listed}."


def strengths(language: Language, praised: Sequence[Point], said: str, *, compared: bool) -> str:
    """What stands out among similar restaurants, or by itself, strongest first; `said`: a guest's sentence, if any."""
    if not praised:
        return "뚜렷한 칭찬이 아직 없습니다." if language == "ko" else "Nothing is clearly praised yet."
    listed, quoted = _listed(language, praised[:_MOST]), said.strip(" .!~“”")
    if language == "ko":
        stands = (
            f"비슷한 식당들보다 {listed}에 대한 칭찬이 두드러집니다."
            if compared
            else f"{listed}에 대한 칭찬이 많습니다."
        )
        voice = f" 대표적인 평은 “{quoted}”입니다." if quoted else ""
    else:
        stands = f"Praised {'more than similar restaurants' if compared else 'most'} for {listed}."
        voice = f" One guest puts it like this: “{quoted}”." if quoted else ""
    return shorten(stands + voice, MAX_PARAGRAPH)


def plain_claim(language: Language, aspect: AspectName, *, praise: bool) -> str:
    """A claim about an aspect of which nobody wrote a sentence that can be shown in this language."""
    name = _NAMES[language][aspect]
    if language == "ko":
        return f"{name}에 만족합니다." if praise else f"{name}{_topic_particle(name)} 아쉽습니다."
    return f"Guests like {name}." if praise else f"Guests are let down by {name}."


def _overall_ko(praised: Sequence[Point], blamed: Sequence[Point]) -> str:
    good, bad = _listed("ko", praised), _listed("ko", blamed)
    often_good, often_bad = ("많" if _most(points) >= _MANY else "있" for points in (praised, blamed))
    bad += _topic_particle(_NAMES["ko"][blamed[:_MOST][-1].aspect]) if blamed else ""
    if not praised and not blamed:
        return "뚜렷한 칭찬이나 아쉬운 점이 아직 없습니다."
    if not praised:
        return f"{bad} 아쉽다는 의견이 {often_bad}습니다."
    if not blamed:
        return f"{good}에 만족한다는 평이 {often_good}습니다."
    if _most(blamed) > _most(praised):
        return f"{bad} 아쉽다는 의견이 {often_bad}지만, {good}에 만족한다는 평도 있습니다."
    return f"{good}에 만족한다는 평이 {often_good}고, {bad} 아쉽다는 의견이 있습니다."


def _overall_en(praised: Sequence[Point], blamed: Sequence[Point]) -> str:
    good, bad = _listed("en", praised), _listed("en", blamed)
    who_good, who_bad = ("Many guests" if _most(points) >= _MANY else "Some guests" for points in (praised, blamed))
    if not praised and not blamed:
        return "Nothing stands out yet, for better or worse."
    if not praised:
        return f"{who_bad} are let down by {bad}."
    if not blamed:
        return f"{who_good} praise {good}."
    if _most(blamed) > _most(praised):
        return f"{who_bad} are let down by {bad}; others praise {good}."
    return f"{who_good} praise {good}; others are let down by {bad}."


def _most(points: Sequence[Point]) -> int:
    return points[0].support if points else 0


def _listed(language: Language, points: Sequence[Point]) -> str:
    if language == "ko":
        return ", ".join(f"{_named_ko(point)}({point.support}건)" for point in points)
    named = [f"{_named_en(point)} ({point.support})" for point in points]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))


def _named_ko(point: Point) -> str:
    dishes = f"{'·'.join(point.dishes)} 등 " if point.dishes else ""
    return f"{dishes}{_NAMES['ko'][point.aspect]}"


def _named_en(point: Point) -> str:
    dishes = f", such as the {' and the '.join(point.dishes)}" if point.dishes else ""
    return f"{_NAMES['en'][point.aspect]}{dishes}"


def _topic_particle(noun: str) -> str:
    """은 after a final consonant, 는 after a vowel: a syllable's final is its code modulo 28 (Unicode, 3.12)."""
    return "은" if (ord(noun[-1]) - ord("가")) % 28 else "는"
