"""What the local engine says, in Korean and English: whole sentences, put together from counted aspects."""

from collections.abc import Sequence

from consumer.analysis.answers import MAX_PARAGRAPH
from consumer.analysis.task import AspectName, Claim, Language
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
        AspectName.OTHER: "전반적인 만족도",
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


def overall(language: Language, praised: Sequence[Claim], blamed: Sequence[Claim]) -> str:
    """What is praised and what is not; each most supported first."""
    say = _overall_ko if language == "ko" else _overall_en
    return shorten(say(praised[:_MOST], blamed[:_MOST]), MAX_PARAGRAPH)


def comparison(language: Language, claims: Sequence[Claim]) -> str:
    """What the other restaurants are praised for."""
    listed = _listed(language, claims[:_MOST])
    if language == "ko":
        return f"비슷한 식당들은 {listed} 면에서 좋은 평을 받습니다."
    return f"Similar restaurants are praised for {listed}."


def strengths(language: Language, claims: Sequence[Claim], *, compared: bool) -> str:
    """What stands out, in the words of the first claim."""
    listed, first = _listed(language, claims[:_MOST]), claims[0].text.rstrip(".!~ ")
    if language == "ko":
        much = "비슷한 식당들보다 칭찬이 두드러집니다" if compared else "칭찬이 있습니다"
        return shorten(f"{listed}에 대한 {much}. 대표적인 평은 “{first}”입니다.", MAX_PARAGRAPH)
    much = "more than similar restaurants" if compared else "by its guests"
    return shorten(f"Praised {much} for {listed}. One guest puts it like this: “{first}”.", MAX_PARAGRAPH)


def _overall_ko(praised: Sequence[Claim], blamed: Sequence[Claim]) -> str:
    good, bad = _listed("ko", praised), _listed("ko", blamed)
    often = "평이 많" if praised and praised[0].support >= _MANY else "평이 있"
    particle = _topic_particle(_NAMES["ko"][blamed[-1].aspect]) if blamed else ""
    if praised and blamed:
        return f"{good}에 만족한다는 {often}고, {bad}{particle} 아쉽다는 의견이 있습니다."
    if praised:
        return f"{good}에 만족한다는 {often}습니다."
    return f"{bad}{particle} 아쉽다는 의견이 있습니다." if blamed else "뚜렷한 칭찬이나 아쉬운 점이 아직 없습니다."


def _overall_en(praised: Sequence[Claim], blamed: Sequence[Claim]) -> str:
    good, bad = _listed("en", praised), _listed("en", blamed)
    who = "Many guests" if praised and praised[0].support >= _MANY else "Guests"
    if praised and blamed:
        return f"{who} praise {good}; some are let down by {bad}."
    if praised:
        return f"{who} praise {good}."
    return f"Guests are let down by {bad}." if blamed else "Nothing stands out yet, for better or worse."


def _listed(language: Language, claims: Sequence[Claim]) -> str:
    unit = "건" if language == "ko" else ""
    named = [f"{_NAMES[language][claim.aspect]}({claim.support}{unit})" for claim in claims]
    if language == "ko":
        return ", ".join(named)
    named = [name.replace("(", " (") for name in named]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))


def _topic_particle(noun: str) -> str:
    """은 after a final consonant, 는 after a vowel: a syllable's final is its code modulo 28 (Unicode, 3.12)."""
    return "은" if (ord(noun[-1]) - ord("가")) % 28 else "는"
