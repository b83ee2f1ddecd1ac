"""What the embedded engine reads in reviews without a language model, and how it says so."""

import time
from collections.abc import Sequence
from math import log

import pytest

from consumer.analysis.answers import MAX_CLAIM, MAX_STRENGTHS, parse_comparison, parse_strength, parse_summary
from consumer.analysis.task import AspectName, Claim, Kind, Language, Task
from consumer.analysis.text import normal
from consumer.engines.local import extractive, wording
from consumer.engines.local.opinions import MAX_CLAUSES, opinions, weigh
from consumer.engines.local.wording import Point
from schemas.codec import encode_document

FOOD, SERVICE, WAITING, OTHER = AspectName.FOOD, AspectName.SERVICE, AspectName.WAITING, AspectName.OTHER


class Undecided:
    """A sentiment model that never knows: what is found then comes from the cues."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self.calls: list[int] = []

    def label_logprobs(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Even odds."""
        self.calls.append(len(texts))
        return [{"positive": log(0.4), "negative": log(0.4), "neutral": log(0.2)} for _ in texts]


def answered(task: Task) -> str:
    """The answer as the engine writes it."""
    return encode_document(extractive.answer(task, Undecided())).decode()


def found(*reviews: str) -> set[tuple[int, AspectName, str]]:
    """Review number, aspect and polarity of each opinion."""
    return {(o.review, o.aspect, o.polarity) for o in opinions(reviews, Undecided())}


def test_a_sentence_that_turns_is_judged_on_both_sides() -> None:
    """In Korean by a verb's ending, in English by a word."""
    assert found("국물은 맛있는데 직원이 불친절해요.") == {(1, FOOD, "positive"), (1, SERVICE, "negative")}
    assert found("The food was delicious but the staff was rude.") == {(1, FOOD, "positive"), (1, SERVICE, "negative")}


def test_all_clauses_of_a_task_are_scored_in_one_call() -> None:
    """A vectorised pass, not one a review."""
    scorer = Undecided()
    opinions(["맛있어요. 친절해요.", "", "별로예요."], scorer)
    assert scorer.calls == [3]


def test_of_one_review_a_bounded_number_of_clauses_is_read() -> None:
    """Whoever writes thousands is not writing about dinner."""
    scorer = Undecided()
    opinions(["맛있고 " * 5000, "좋아요"], scorer)
    assert scorer.calls == [MAX_CLAUSES + 1]


@pytest.mark.parametrize(
    ("clause", "sign"),
    [
        ("직원이 친절해요", 1),
        ("직원이 불친절해요", -1),
        ("비린내 1도 없어요", 1),
        ("고기가 질기지 않고", 1),
        ("안 비싸요", 1),
        ("not worth it", -1),
        ("It wasn't good", -1),
        ("no wait", 1),
        ("We didn't wait", 1),
        ("I wouldn't queue again", -1),
        ("화요일에 갔다", 0),
    ],
)
def test_a_negation_turns_a_cue_round(clause: str, sign: int) -> None:
    """And the longest word at a place counts."""
    weight = weigh(normal(clause), 0.0)
    assert (weight > 0) - (weight < 0) == sign


def test_a_negated_cue_outweighs_a_model_that_reads_words_alone() -> None:
    """The word "비린내" is bad wherever it stands, but not when there is none."""
    assert weigh("비린내 1도 없어요", -4.0) > 0


def test_what_is_known_of_a_review_decides_where_words_do_not() -> None:
    """A clause without a cue takes the review's side; a clear word to the contrary stands."""
    reviews = ["서비스가 그래요", "서비스가 그래요", "고기는 최고로 훌륭해서 완벽해요"]
    found = {(o.review, o.polarity) for o in opinions(reviews, Undecided(), ["positive", "negative", "negative"])}
    assert found == {(1, "positive"), (2, "negative"), (3, "positive")}


def test_a_review_is_for_or_against_an_aspect_not_both() -> None:
    """By what it says in sum."""
    review = "국물이 맛있어요. 고기도 맛있어요. 면은 퍽퍽해요."
    answer = parse_summary(answered(Task(Kind.SUMMARY, "ko", (review,))), 1)
    assert [claim.aspect for claim in answer.positive] == [FOOD]
    assert answer.negative == ()


def test_claims_are_guests_sentences_in_the_readers_language() -> None:
    """Without laughter; our own words where nobody wrote one."""
    reviews = ("고기가 정말 맛있어요ㅋㅋㅋ", "The staff was friendly", "Friendly waiter")
    answer = parse_summary(answered(Task(Kind.SUMMARY, "ko", reviews)), 3)
    assert {claim.aspect: claim.text for claim in answer.positive} == {
        FOOD: "고기가 정말 맛있어요.",
        SERVICE: "서비스에 만족합니다.",
    }
    assert {claim.aspect: claim.reviews for claim in answer.positive} == {FOOD: (1,), SERVICE: (2, 3)}


def test_the_overall_summary_adds_up_old_and_new() -> None:
    """Aspects with a clear majority, the more frequent side first."""
    last = (
        Claim("positive", FOOD, "맛있다.", 9),
        Claim("negative", WAITING, "길다.", 4),
        Claim("negative", FOOD, "짜다.", 2),
    )
    task = Task(
        Kind.SUMMARY, "ko", ("고기가 맛있어요.", "고기도 맛있고 냉면도 맛있어요.", "웨이팅이 너무 길어요."), last
    )
    assert parse_summary(answered(task), 3).overall == (
        "고기 등 음식 맛(11건)에 만족한다는 평이 많고, 대기 시간(5건)은 아쉽다는 의견이 있습니다."
    )


@pytest.mark.parametrize(
    ("praised", "blamed", "expected"),
    [
        ((), (), "뚜렷한 칭찬이나 아쉬운 점이 아직 없습니다."),
        ((Point(FOOD, 2),), (), "음식 맛(2건)에 만족한다는 평이 있습니다."),
        ((), (Point(SERVICE, 4),), "서비스(4건)는 아쉽다는 의견이 많습니다."),
        (
            (Point(FOOD, 2),),
            (Point(WAITING, 7), Point(SERVICE, 3)),
            "대기 시간(7건), 서비스(3건)는 아쉽다는 의견이 많지만, 음식 맛(2건)에 만족한다는 평도 있습니다.",
        ),
    ],
)
def test_korean_sentences(praised: tuple[Point, ...], blamed: tuple[Point, ...], expected: str) -> None:
    """With the particle that the last noun asks for."""
    assert wording.overall("ko", praised, blamed) == expected


@pytest.mark.parametrize(
    ("praised", "blamed", "expected"),
    [
        ((), (), "Nothing stands out yet, for better or worse."),
        (
            (Point(FOOD, 12, ("steak", "pasta")), Point(SERVICE, 7)),
            (Point(WAITING, 5),),
            (
                "Many guests praise the food, such as the steak and the pasta (12) and the service (7);"
                " others are let down by the waiting time (5)."
            ),
        ),
        (
            (Point(FOOD, 1),),
            (Point(WAITING, 2),),
            "Some guests are let down by the waiting time (2); others praise the food (1).",
        ),
    ],
)
def test_english_sentences(praised: tuple[Point, ...], blamed: tuple[Point, ...], expected: str) -> None:
    """Counts stand behind what they count."""
    assert wording.overall("en", praised, blamed) == expected


@pytest.mark.parametrize("language", ["ko", "en"])
def test_strengths_take_the_claims_as_they_are_ranked(language: Language) -> None:
    """At most five; a claim in our own words is not put into a guest's mouth."""
    ours = wording.plain_claim(language, FOOD, praise=True)
    claims = (Claim("positive", FOOD, ours, 3), Claim("positive", SERVICE, "늘 웃으세요.", 9)) * 4
    answer = parse_strength(answered(Task(Kind.STRENGTH, language, claims=claims, background="x")), 8)
    assert [line.claim for line in answer.lines] == list(range(1, MAX_STRENGTHS + 1))
    assert "“늘 웃으세요”" in answer.summary
    assert ours.rstrip(".") not in answer.summary


@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_to_compare_or_to_praise_is_said_so(language: Language) -> None:
    """In a whole sentence."""
    assert parse_comparison(answered(Task(Kind.COMPARISON, language))).endswith(".")
    answer = parse_strength(answered(Task(Kind.STRENGTH, language)), 0)
    assert answer.lines == ()
    assert answer.summary.endswith(".")


HOSTILE = (
    "",
    "😍😍",
    "ㅋ" * 100_000,
    "고" * 100_000,
    "맛있고 " * 25_000,
    "별로인데, " * 20_000,
    "a,b; " * 20_000,
    " but" * 25_000,
    "\n" * 100_000,
    "맛있어요 \x00\u202e거꾸로\u202c",
    "\ud800 delicious",
    "[2] <review>맛있어요</review>",
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:10]))
def test_hostile_text_gets_a_valid_answer_in_bounded_time(text: str) -> None:
    """Sixteen times the same, the most that one task holds."""
    started = time.process_time()
    answer = parse_summary(answered(Task(Kind.SUMMARY, "ko", (text,) * 16)), 16)
    assert time.process_time() - started < 5
    assert answer.uncited == 0
    assert all(0 < len(claim.text) <= MAX_CLAIM for claim in (*answer.positive, *answer.negative))
