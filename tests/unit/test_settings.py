"""Settings: defaults, presets, limits, messages, masked secrets; and the dynamic batch size by its rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import ConfigError
from consumer.settings import PRESETS, Batches, entries, load, require_bootstrap_servers


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours from outside."""
    for entry in list(entries(load())):
        monkeypatch.delenv(entry.variable, raising=False)


def test_defaults_are_the_documented_ones() -> None:
    """Batches as the earlier system's users know them."""
    batches = load().batches
    assert (batches.max_tokens_per_batch, batches.min_batch_size, batches.max_batch_size) == (4000, 10, 100)
    assert (batches.default_batch_size, batches.max_concurrent_batches) == (50, 20)


@pytest.mark.parametrize(
    ("preset", "limits"),
    [("24gb", (3000, 10, 80, 15)), ("40gb", (6000, 10, 150, 30)), ("80gb", (8000, 10, 200, 40))],
)
def test_presets(monkeypatch: pytest.MonkeyPatch, preset: str, limits: tuple[int, ...]) -> None:
    """A preset sets the four limits."""
    monkeypatch.setenv("VLLM_PRESET", preset)
    b = load().batches
    assert (b.max_tokens_per_batch, b.min_batch_size, b.max_batch_size, b.max_concurrent_batches) == limits


@pytest.mark.parametrize(
    ("gib", "preset"),
    [(None, None), (11.0, "24gb"), (23.6, "24gb"), (39.4, "40gb"), (47.5, "40gb"), (79.6, "80gb"), (139.8, "80gb")],
)
def test_auto_goes_by_the_smallest_gpu(monkeypatch: pytest.MonkeyPatch, gib: float | None, preset: str | None) -> None:
    """As drivers report memory; without a GPU the plain defaults hold, and the table says so."""
    monkeypatch.setattr("consumer.settings.smallest_gpu_gib", lambda: gib)
    monkeypatch.setenv("VLLM_PRESET", "auto")
    settings = load()
    expected = PRESETS[preset] if preset else {"max_tokens_per_batch": 4000, "max_concurrent_batches": 20}
    assert {name: getattr(settings.batches, name) for name in expected} == expected
    sources = {entry.variable: entry.source for entry in entries(settings)}
    assert sources["VLLM_MAX_TOKENS_PER_BATCH"] == (f"preset {preset}" if preset else "default")


def test_a_variable_set_by_hand_wins_over_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the table says where each comes from."""
    monkeypatch.setenv("VLLM_PRESET", "24gb")
    monkeypatch.setenv("VLLM_MAX_BATCH_SIZE", "33")
    settings = load()
    assert (settings.batches.max_batch_size, settings.batches.max_tokens_per_batch) == (33, 3000)
    sources = {entry.variable: entry.source for entry in entries(settings)}
    assert sources["VLLM_MAX_BATCH_SIZE"] == "environment"
    assert sources["VLLM_MAX_TOKENS_PER_BATCH"] == "preset 24gb"
    assert sources["VLLM_DEFAULT_BATCH_SIZE"] == "default"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("VLLM_MAX_BATCH_SIZE", "many", "valid integer"),
        ("VLLM_MAX_TOKENS_PER_BATCH", "12", "greater than or equal to 1000"),
        ("VLLM_PRESET", "12gb", "'auto', '24gb', '40gb' or '80gb'"),
        ("ADMISSION", "none", "'adaptive' or 'fixed'"),
        ("DELIVERY", "maybe", "'exactly_once' or 'at_least_once'"),
        ("ENGINE", "gpt", "'auto', 'local', 'vllm' or 'openai'"),
        ("LINGER_SECONDS", "-1", "greater than or equal to 0"),
        ("METRICS_PORT", "70000", "less than or equal to 65535"),
        ("KEY_PARTITIONER", "md5", "'murmur2', 'crc32' or 'any'"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "'SASL_SSL'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """The variable's name, its value, and what is allowed."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert f"{variable}='{value}'" in str(caught.value)
    assert said in str(caught.value)


def test_a_hung_engine_is_noticed_before_its_items_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise records would be blamed for it. Only `vllm` is watched that way."""
    monkeypatch.setenv("ENGINE_REQUEST_TIMEOUT_SECONDS", "60")
    load()
    monkeypatch.setenv("VLLM_MODEL", "some/model")
    with pytest.raises(ConfigError, match="ENGINE_STALL_SECONDS=60 is not below ENGINE_REQUEST_TIMEOUT_SECONDS=60"):
        load()


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to fix them one start at a time; rules over two settings name both."""
    monkeypatch.setenv("VLLM_MIN_BATCH_SIZE", "20")
    monkeypatch.setenv("VLLM_MAX_BATCH_SIZE", "10")
    monkeypatch.setenv("POLL_MAX_RECORDS", "5000")
    monkeypatch.setenv("RETRY_MAX_SECONDS", "0.1")
    with pytest.raises(ConfigError) as caught:
        load()
    assert "VLLM_MIN_BATCH_SIZE=20 is above VLLM_MAX_BATCH_SIZE=10" in str(caught.value)
    assert "RETRY_BASE_SECONDS=0.2 is above RETRY_MAX_SECONDS=0.1" in str(caught.value)
    assert "POLL_MAX_RECORDS=5000 is above LANE_MAX_RECORDS=2000" in str(caught.value)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the table nor in an error about their neighbours."""
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("KAFKA_SSL_PASSWORD", "hunter3")
    shown = {entry.variable: entry.value for entry in entries(load())}
    assert shown["KAFKA_SASL_PASSWORD"] == shown["KAFKA_SSL_PASSWORD"] == "********"
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(ConfigError) as caught:
        load()
    assert "hunter" not in str(caught.value)
    assert "KAFKA_SASL_USERNAME" in str(caught.value)


OAUTH = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
URL = "KAFKA_SASL_OAUTH_TOKEN_URL"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (OAUTH, "needs one of KAFKA_SASL_OAUTH_TOKEN_COMMAND and KAFKA_SASL_OAUTH_TOKEN_URL"),
        (OAUTH | {URL: "https://a/t", "KAFKA_SASL_OAUTH_TOKEN_COMMAND": "a"}, "needs one of"),
        (OAUTH | {"KAFKA_SASL_OAUTH_TOKEN_COMMAND": "print 'a"}, "quotation mark without its other half"),
        (OAUTH | {"KAFKA_SASL_OAUTH_TOKEN_COMMAND": " "}, "KAFKA_SASL_OAUTH_TOKEN_COMMAND is empty"),
        (OAUTH | {URL: "https://a/t", "KAFKA_SASL_OAUTH_CLIENT_ID": "a"}, "KAFKA_SASL_OAUTH_CLIENT_SECRET"),
        (OAUTH | {URL: "file:///etc/passwd"}, "KAFKA_SASL_OAUTH_TOKEN_URL='file:///etc/passwd'"),
        ({"KAFKA_SSL_KEYFILE": "key.pem"}, "KAFKA_SSL_KEYFILE needs KAFKA_SSL_CERTFILE"),
    ],
)
def test_what_a_way_to_log_in_lacks_is_named(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str) -> None:
    """Before anything is dialled."""
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert said in str(caught.value)


def test_an_address_is_asked_for() -> None:
    """`run` needs it; other commands do not."""
    with pytest.raises(ConfigError, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        require_bootstrap_servers(load())


def test_every_setting_has_one_variable_and_a_meaning() -> None:
    """No two settings share a variable, none is undescribed, durations end in _SECONDS."""
    found = list(entries(load()))
    assert len({entry.variable for entry in found}) == len(found)
    assert all(entry.description for entry in found)
    assert not [e.variable for e in found if e.variable.endswith(("_MS", "_TIMEOUT", "_INTERVAL", "_AGE"))]


def test_dynamic_batch_size_without_reviews_is_the_default() -> None:
    """Nothing tells a better one."""
    assert Batches().calculate_dynamic_batch_size([]) == 50


@pytest.mark.parametrize(
    ("reviews", "budget", "size"),
    [
        (["가" * 350], None, 40),  # 100 tokens each: 4000 / 100
        (["가" * 350], 2000, 20),
        (["가" * 35], None, 100),  # 400 fit: the maximum
        (["가" * 7000], None, 10),  # 2 fit: the minimum
        ([""] * 3, None, 100),  # at least one token each
        (["a"], None, 100),
        (["가" * 351], None, 39),  # 4000 / 100.29 = 39.9, whole ones only
        (["가" * 350] * 50 + ["가" * 70_000] * 50, None, 40),  # only the first 50 count
        (["가" * 100, "가" * 600], None, 40),  # the mean
    ],
)
def test_dynamic_batch_size(reviews: list[str], budget: int | None, size: int) -> None:
    """Mean characters of the first 50 / 3.5, into the budget, clamped."""
    assert Batches().calculate_dynamic_batch_size(reviews, budget) == size


@given(st.lists(st.text(max_size=200), max_size=80), st.none() | st.integers(1000, 8000))
def test_dynamic_batch_size_stays_within_its_limits(reviews: list[str], budget: int | None) -> None:
    """Whatever the reviews are."""
    batches = Batches()
    assert 10 <= batches.calculate_dynamic_batch_size(reviews, budget) <= 100
