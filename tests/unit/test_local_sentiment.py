"""The local sentiment model that ships: its files, its obvious answers, and its refusals."""

import hashlib
import io
import json
import math
from importlib import resources

import numpy as np
import pytest

from consumer.engines.local import features
from consumer.engines.local.sentiment import PROVENANCE_FILE, WEIGHTS_FILE, Calibration, SentimentModel
from consumer.errors import ConfigError

FOLDER = resources.files("consumer.engines.local")
MEGABYTE = 1_000_000

POSITIVE = (
    "여기 존맛이네요 또 올게요",
    "JMT입니다 꼭 드세요",
    "직원분이 친절해서 기분 좋게 먹고 왔어요",
    "양도 많고 가격도 저렴해요",
    "너무 맛있어요ㅠㅠ 또 시켜 먹을게요",
    "분위기 좋고 음식도 훌륭합니다 😍",
    "Great food, great service, will be back!",
    "The pasta was amazing and the staff were so kind",
)
NEGATIVE = (
    "별로예요.. 기대하고 갔는데 실망했어요",
    "재방문 의사 없음",
    "ㅠㅠ 맛이 없어요",
    "직원이 너무 불친절해요",
    "가격에 비해 양이 적어요",
    "맛있지도 않고 비싸기만 해요",
    "Terrible experience, the soup was cold and the waiter ignored us",
    "Overpriced and tasteless",
)
UNREADABLE = ("", " \n\t", "\0", "...", "!!!!", "12345", "ㅋㅋㅋㅋ", "ㅠㅠ", "🪣🪣", "\ud83d", "ــ٪", "ᚠᚢᚦ")


@pytest.fixture(scope="module")
def model() -> SentimentModel:
    """The shipped model, loaded once."""
    return SentimentModel.load()


@pytest.fixture(scope="module")
def shipped() -> tuple[bytes, bytes]:
    """The two shipped files: provenance and weights."""
    return (FOLDER / PROVENANCE_FILE).read_bytes(), (FOLDER / WEIGHTS_FILE).read_bytes()


def label(model: SentimentModel, text: str) -> str:
    """The likeliest label of one text."""
    (logprobs,) = model.label_logprobs([text])
    return max(logprobs, key=logprobs.__getitem__)


@pytest.mark.parametrize("text", POSITIVE)
def test_plain_praise_is_positive(model: SentimentModel, text: str) -> None:
    """Korean and English, formal and slang."""
    assert label(model, text) == "positive"


@pytest.mark.parametrize("text", NEGATIVE)
def test_plain_blame_is_negative(model: SentimentModel, text: str) -> None:
    """Korean and English, formal and slang."""
    assert label(model, text) == "negative"


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_text_that_says_nothing_known_is_neutral_with_even_odds(model: SentimentModel, text: str) -> None:
    """Nothing read, nothing claimed: positive and negative are equally likely, and neutral likelier than either."""
    (logprobs,) = model.label_logprobs([text])
    assert logprobs["positive"] == logprobs["negative"] < logprobs["neutral"]


def test_an_emoji_of_known_polarity_counts(model: SentimentModel) -> None:
    """With any skin tone."""
    assert [label(model, text) for text in ("👍", "👍🏽", "👎", "👎🏻")] == ["positive"] * 2 + ["negative"] * 2


def test_the_end_of_a_very_long_review_counts(model: SentimentModel) -> None:
    """A hundred thousand characters are read at both ends."""
    filler = "가나다라 " * 20_000
    assert label(model, filler + "맛없고 불친절해서 최악이었어요 다시는 안 가요 " * 20) == "negative"
    assert label(model, "맛있고 친절해서 최고였어요 또 갈게요 " * 20 + filler) == "positive"


def test_no_texts_have_no_answers(model: SentimentModel) -> None:
    """An empty batch is a batch."""
    assert model.label_logprobs([]) == []


def test_name_and_version_are_short(model: SentimentModel, shipped: tuple[bytes, bytes]) -> None:
    """The version changes with the weights."""
    assert model.name == "char-ngram-linear"
    assert model.version.endswith(hashlib.sha256(shipped[1]).hexdigest()[:8])
    assert len(model.version) <= 32


def test_the_weights_fit_in_a_megabyte(shipped: tuple[bytes, bytes]) -> None:
    """Provenance included."""
    assert len(shipped[0]) + len(shipped[1]) <= MEGABYTE


def test_the_weights_are_sorted_and_unpickled(shipped: tuple[bytes, bytes]) -> None:
    """The look-up needs ascending keys without repeats; both arrays are plain numbers."""
    with np.load(io.BytesIO(shipped[1]), allow_pickle=False) as archive:
        keys, weights = archive["keys"], archive["weights"]
    assert (keys.dtype, weights.dtype, keys.shape) == (np.uint32, np.int8, weights.shape)
    assert np.all(keys[1:] > keys[:-1])
    assert keys.size == json.loads(shipped[0])["ngrams"]


def test_the_provenance_belongs_to_the_weights(shipped: tuple[bytes, bytes]) -> None:
    """Its digest is the file's, its features ours, and it says where all came from, under which terms."""
    about = json.loads(shipped[0])
    assert about["sha256"] == hashlib.sha256(shipped[1]).hexdigest()
    assert about["features"] == features.VERSION
    assert all(source["licence"] and source["from"] for source in about["sources"])
    assert {"date", "script", "settings", "inputs_sha256", "never_trained_on"} <= about.keys()


@pytest.mark.parametrize(
    ("held_out", "least"),
    [("M-ABSA restaurant, Korean", 0.83), ("M-ABSA restaurant, English", 0.80), ("NSMC, 100 movies", 0.77)],
)
def test_the_measured_figures_are_good_enough_to_ship(
    shipped: tuple[bytes, bytes], held_out: str, least: float
) -> None:
    """As the training script wrote them for these very weights; a neutral answer counted as wrong."""
    assert json.loads(shipped[0])["measured"][held_out]["accuracy"] >= least


def test_damaged_weights_are_refused(shipped: tuple[bytes, bytes]) -> None:
    """One changed byte is enough."""
    about, weights = shipped
    with pytest.raises(ConfigError, match="is not the file"):
        SentimentModel.from_bytes(about, weights[:-1] + bytes([weights[-1] ^ 1]))


def test_an_archive_without_arrays_is_refused(shipped: tuple[bytes, bytes]) -> None:
    """Even where the digest agrees."""
    about = json.loads(shipped[0]) | {"sha256": hashlib.sha256(b"PK no archive").hexdigest()}
    with pytest.raises(ConfigError, match="damaged"):
        SentimentModel.from_bytes(json.dumps(about).encode(), b"PK no archive")


def test_weights_of_other_features_are_refused(shipped: tuple[bytes, bytes]) -> None:
    """They would answer, and wrongly."""
    about = json.loads(shipped[0]) | {"features": "words/1"}
    with pytest.raises(ConfigError, match="words/1"):
        SentimentModel.from_bytes(json.dumps(about).encode(), shipped[1])


def test_a_damaged_provenance_is_refused(shipped: tuple[bytes, bytes]) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match=PROVENANCE_FILE):
        SentimentModel.from_bytes(b"{}", shipped[1])


@pytest.mark.parametrize("fading", [0.0, 0.65, 3.0])
@pytest.mark.parametrize("margin", [0.0, 0.1, 1.5])
def test_neutral_is_likeliest_exactly_inside_the_margin(margin: float, fading: float) -> None:
    """Whatever its fading."""
    shape = Calibration(slope=1, bias=0, margin=margin, fading=fading)
    logits = np.array([-margin - 0.01, -margin + 0.01, margin - 0.01, margin + 0.01])
    expected = [1, 2, 2, 0] if margin else [1, 0, 1, 0]
    assert shape.logprobs(logits).argmax(axis=1).tolist() == expected


def test_polar_labels_keep_their_calibrated_odds() -> None:
    """Neutral takes from both alike: positive to negative stays what the logit says."""
    row = Calibration(slope=1, bias=0, margin=0.1, fading=0.65).logprobs(np.array([1.7]))[0]
    assert row[0] - row[1] == pytest.approx(1.7)
    assert math.fsum(np.exp(row)) == pytest.approx(1)
