"""The settings: one frozen model in sections, and this program's only reader of the environment."""

import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from consumer.device import smallest_gpu_gib
from consumer.errors import ConfigError
from schemas.connection import KafkaConnection
from schemas.secret_files import SecretFiles
from schemas.topics import KeyPartitioner, TopicNames

_USER_INFO = re.compile(r"(\w://)[^/@\s]+@")
_SECRET_FIELD = re.compile(
    r'("[^"]*(?:token|secret|password|api_key)[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^,}\s]+)', re.IGNORECASE
)
MEAN_OVER_REVIEWS = 50
CHARACTERS_PER_TOKEN = 3.5

PRESETS = {
    "24gb": {"max_tokens_per_batch": 3000, "min_batch_size": 10, "max_batch_size": 80, "max_concurrent_batches": 15},
    "40gb": {"max_tokens_per_batch": 6000, "min_batch_size": 10, "max_batch_size": 150, "max_concurrent_batches": 30},
    "80gb": {"max_tokens_per_batch": 8000, "min_batch_size": 10, "max_batch_size": 200, "max_concurrent_batches": 40},
}
PRESET_FROM_GIB = {"80gb": 70.0, "40gb": 35.0, "24gb": 0.0}
"""`auto`: the first whose memory the device has; drivers report a little less than what is printed on the box."""


def preset_for(gib: float | None) -> str | None:
    """The preset of a device with so much memory; None without a device."""
    return next((name for name, least in PRESET_FROM_GIB.items() if gib is not None and gib >= least), None)


def _preset(given: object) -> str | None:
    """What `auto` comes to."""
    return preset_for(smallest_gpu_gib()) if given == "auto" else str(given)


class Batches(BaseSettings):
    """Micro-batches: variables `VLLM_...`. A variable set by hand wins over the preset."""

    model_config = SettingsConfigDict(env_prefix="VLLM_", frozen=True, extra="ignore")

    preset: Literal["auto", "24gb", "40gb", "80gb"] | None = Field(
        None, description="Limits that suit a GPU's memory; `auto`: of the GPU that is found here, if any."
    )
    max_tokens_per_batch: int = Field(4000, ge=1000, le=1_000_000, description="Tokens a micro-batch may hold.")
    min_batch_size: int = Field(10, ge=1, description="Items that are worth a batch after the short linger.")
    max_batch_size: int = Field(100, ge=1, le=10_000, description="Items a micro-batch may hold.")
    default_batch_size: int = Field(50, ge=1, description="Batch size where no review tells a better one.")
    max_concurrent_batches: int = Field(20, ge=1, le=10_000, description="Micro-batches that run at once.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**PRESETS.get(_preset(given.get("preset")) or "", {}), **given}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_batch_size > self.max_batch_size:
            msg = f"VLLM_MIN_BATCH_SIZE={self.min_batch_size} is above VLLM_MAX_BATCH_SIZE={self.max_batch_size}"
            raise ValueError(msg)
        return self

    def calculate_dynamic_batch_size(self, reviews: Sequence[str], max_tokens_per_batch: int | None = None) -> int:
        """How many reviews of this length fit the token budget, within min_batch_size to max_batch_size.

        The mean length in characters of the first 50 reviews, 3.5 characters a token, a review at least one token;
        no reviews: default_batch_size.
        """
        if not reviews:
            return self.default_batch_size
        sample = reviews[:MEAN_OVER_REVIEWS]
        tokens = max(1.0, sum(map(len, sample)) / len(sample) / CHARACTERS_PER_TOKEN)
        budget = self.max_tokens_per_batch if max_tokens_per_batch is None else max_tokens_per_batch
        return min(max(int(budget / tokens), self.min_batch_size), self.max_batch_size)


class EngineChoice(BaseSettings):
    """Which engine answers."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    engine: Literal["auto", "local", "vllm", "openai"] = Field(
        "auto", description="`auto`: vllm with `VLLM_MODEL`, openai with `OPENAI_BASE_URL`, else local."
    )
    admission: Literal["adaptive", "fixed"] = Field(
        "adaptive", description="Tokens in the engine at once: by what it tells of its load, or always the most."
    )
    engine_request_timeout_seconds: float = Field(120, gt=0, le=86_400, description="Bound on one item in the engine.")
    engine_max_restarts: int = Field(
        5,
        ge=3,
        le=1000,
        description="Restarts of the engine in a row that may bring no progress; then the process ends.",
    )
    calibration_file: Path | None = Field(None, description="What `calibrate` wrote for this engine and model.")
    engine_stall_seconds: float = Field(
        60, gt=0, le=3600, description="Silence of a vllm with work in flight after which it counts as hung."
    )
    vllm_model: str | None = Field(None, min_length=1, description="A model's name or folder, for the engine vllm.")
    vllm_engine_args: Annotated[dict[str, Any], NoDecode] = Field(
        {}, description="vLLM's engine arguments, and `lora_modules`, as one JSON object."
    )
    openai_base_url: str | None = Field(
        None, pattern=r"^https?://", description="An OpenAI-compatible server, such as http://localhost:8000/v1."
    )
    openai_api_key: SecretStr | None = Field(None, description="Its key, where it wants one.")
    openai_model: str | None = Field(None, min_length=1, description="The model to ask it for.")
    openai_max_connections: int = Field(256, ge=1, le=10_000, description="Requests to it at once.")
    tokenizer: str | None = Field(
        None, min_length=1, description="Its model's tokenizer.json, folder or name; without one tokens are estimated."
    )

    @field_validator("vllm_engine_args", mode="before")
    @classmethod
    def _parsed(cls, given: object) -> object:
        try:
            return json.loads(given) if isinstance(given, str) else given
        except ValueError as error:
            raise ValueError(f'not JSON ({error}); give an object such as {{"max_model_len": 8192}}') from None

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if self.engine == "auto" and self.vllm_model and self.openai_base_url:
            raise ValueError("VLLM_MODEL and OPENAI_BASE_URL are both set: unset one, or say ENGINE=vllm or openai")
        if self.chosen == "openai" and not self.openai_model:
            raise ValueError("OPENAI_BASE_URL needs OPENAI_MODEL: the name under which the server knows the model")
        if self.engine == "vllm" and not self.vllm_model:
            raise ValueError("ENGINE=vllm needs VLLM_MODEL: a model's name or folder")
        if self.engine == "openai" and not self.openai_base_url:
            raise ValueError("ENGINE=openai needs OPENAI_BASE_URL, such as http://localhost:8000/v1")
        return self

    @model_validator(mode="after")
    def _hangs_are_seen(self) -> Self:
        """Before its items are timed out one by one, as if each were to blame."""
        stall, item = self.engine_stall_seconds, self.engine_request_timeout_seconds
        if self.chosen == "vllm" and stall >= item:
            msg = f"ENGINE_STALL_SECONDS={stall:g} is not below ENGINE_REQUEST_TIMEOUT_SECONDS={item:g}"
            raise ValueError(msg)
        return self

    @property
    def chosen(self) -> Literal["local", "vllm", "openai"]:
        """What `auto` comes to."""
        if self.engine != "auto":
            return self.engine
        return "vllm" if self.vllm_model else "openai" if self.openai_base_url else "local"


class Delivery(BaseSettings):
    """What is promised about each record, and how a partition changes hands."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_group_id: str = Field("review-consumer", min_length=1, description="The consumer group.")
    kafka_group_instance_id: str | None = Field(
        None, min_length=1, description="Static membership: a name of this member's own that outlives restarts."
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="Outputs, state and offset in one transaction, or in turn."
    )
    commit_interval_seconds: float = Field(
        0.2, ge=0, le=5, description="Pause between a partition's transactions, in exactly_once."
    )
    key_partitioner: KeyPartitioner = Field(KeyPartitioner.MURMUR2, description="How upstream places keys.")
    revoke_drain_seconds: float = Field(20, gt=0, le=600, description="Bound on committing what is done on revocation.")
    shutdown_timeout_seconds: float = Field(30, gt=0, le=600, description="Bound on the whole stop.")
    kafka_session_timeout_seconds: float = Field(45, ge=6, le=600, description="Silence after which a member is out.")


class Lanes(BaseSettings):
    """Bounds on what is in flight per partition, and how long items wait for company."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    lane_max_records: int = Field(2000, ge=1, le=1_000_000, description="Unfinished records of one partition.")
    lane_max_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Their bytes.")
    poll_max_records: int = Field(500, ge=1, le=100_000, description="Records of one poll, at most.")
    linger_seconds: float = Field(0.02, ge=0, le=60, description="Wait of a batch that has its minimum of items.")
    linger_max_seconds: float = Field(0.2, ge=0, le=60, description="Longest wait of an item for company.")
    priority_aging_seconds: float = Field(5, gt=0, le=3600, description="Wait after which an item rises one class.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.linger_seconds > self.linger_max_seconds:
            msg = f"LINGER_SECONDS={self.linger_seconds} is above LINGER_MAX_SECONDS={self.linger_max_seconds}"
            raise ValueError(msg)
        if self.poll_max_records > self.lane_max_records:
            msg = f"POLL_MAX_RECORDS={self.poll_max_records} is above LANE_MAX_RECORDS={self.lane_max_records}"
            raise ValueError(msg)
        return self


class Retries(BaseSettings):
    """How an engine's transient error is tried again: variables `RETRY_...`."""

    model_config = SettingsConfigDict(env_prefix="RETRY_", frozen=True, extra="ignore")

    max_attempts: int = Field(5, ge=1, le=100, description="Attempts before an item is a dead letter.")
    base_seconds: float = Field(0.2, gt=0, le=60, description="Pause before the second attempt.")
    max_seconds: float = Field(30, gt=0, le=3600, description="Longest pause.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_seconds > self.max_seconds:
            msg = f"RETRY_BASE_SECONDS={self.base_seconds} is above RETRY_MAX_SECONDS={self.max_seconds}"
            raise ValueError(msg)
        return self


class Breaker(BaseSettings):
    """When so many records fail by the service's own fault that it takes no more: variables `BREAKER_...`."""

    model_config = SettingsConfigDict(env_prefix="BREAKER_", frozen=True, extra="ignore")

    share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Above this share of failures (engine's, or refused results) no more records are taken; 1: never.",
    )
    window_records: int = Field(100, ge=5, le=100_000, description="The last records that the share is of.")
    probe_seconds: float = Field(1, gt=0, le=3600, description="Pause before one record is tried as a probe.")
    probe_max_seconds: float = Field(60, gt=0, le=86_400, description="Longest pause, while probes fail.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.probe_seconds > self.probe_max_seconds:
            least, most = self.probe_seconds, self.probe_max_seconds
            raise ValueError(f"BREAKER_PROBE_SECONDS={least} is above BREAKER_PROBE_MAX_SECONDS={most}")
        return self


class Jobs(BaseSettings):
    """When a restaurant's summary and strengths are made anew."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    summary_min_reviews: int = Field(10, ge=1, description="New reviews that make a summary due.")
    summary_min_tokens: int = Field(
        1000, ge=1, description="Their tokens that make one due, estimated at two characters each."
    )
    summary_max_age_seconds: float = Field(600, gt=0, description="Age of a new review that makes a summary due.")
    strength_refresh_members: int = Field(5, ge=1, description="Changed summaries of others that make strengths due.")
    output_language: Literal["auto", "ko", "en"] = Field("auto", description="`auto`: the reviews' majority language.")
    job_max_attempts: int = Field(
        5, ge=1, le=100, description="Failures of a summary or strength job until it is parked: see `parked_jobs`."
    )
    job_retry_seconds: float = Field(30, gt=0, le=3600, description="Pause after its first failure; it doubles.")
    job_retry_max_seconds: float = Field(600, gt=0, le=86_400, description="Longest pause.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.job_retry_seconds > self.job_retry_max_seconds:
            least, most = self.job_retry_seconds, self.job_retry_max_seconds
            msg = f"JOB_RETRY_SECONDS={least} is above JOB_RETRY_MAX_SECONDS={most}"
            raise ValueError(msg)
        return self


class Service(BaseSettings):
    """The process."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    state_dir: Path = Field(
        Path("state"), description="What should outlive the process; each process locks a directory of its own in it."
    )
    state_deleted_retention_seconds: float = Field(
        30 * 86_400, gt=0, description="How long a deleted review is remembered, so that a late original stays dead."
    )
    cache_max_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="Memory of the result cache: equal texts are asked once; 0 for none."
    )
    redis_url: SecretStr | None = Field(
        None, description="A Redis that all members share as result cache, such as redis://localhost:6379/0."
    )
    metrics_port: int = Field(9464, ge=0, le=65_535, description="/metrics, /livez, /readyz, /debug/lanes; 0 for none.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Where traces go, such as http://localhost:4318; needs the extra `[otel]`.",
    )
    log_format: Literal["human", "json"] = Field("human", description="How a log line looks.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least that is logged.")


class Settings(BaseModel):
    """Everything that can be set. Each leaf has one environment variable: see `entries`."""

    model_config = ConfigDict(frozen=True)

    secrets: SecretFiles
    kafka: KafkaConnection
    delivery: Delivery
    topics: TopicNames
    engine: EngineChoice
    batches: Batches
    lanes: Lanes
    retries: Retries
    breaker: Breaker
    jobs: Jobs
    service: Service


S = TypeVar("S", bound=BaseSettings)

_for_vllm = threading.Lock()


@contextmanager
def environment_for_vllm() -> Iterator[None]:
    """Hold our `VLLM_...` variables back, for vLLM and the processes it starts: it warns of names it does not know."""
    sections = (Batches, EngineChoice)
    names = {_variable(section, name) for section in sections for name in section.model_fields}
    with _for_vllm:
        ours = [name for name in os.environ if name.upper() in names and name.upper().startswith("VLLM_")]
        held = {name: os.environ.pop(name) for name in ours}
        try:
            yield
        finally:
            os.environ.update(held)


def load() -> Settings:
    """Read environment and secret files. ConfigError names every wrong variable, its value and what is allowed."""
    problems: list[str] = []
    files = _section(SecretFiles, problems, None)
    folder = files.found if files else None
    sections = {name: _section(_type_of(name), problems, folder) for name in Settings.model_fields if name != "secrets"}
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings.model_validate({"secrets": files, **sections})


def require_bootstrap_servers(settings: Settings) -> str:
    """Return the brokers' address. Raises ConfigError where none is set."""
    if not settings.kafka.bootstrap_servers:
        raise ConfigError(
            "KAFKA_BOOTSTRAP_SERVERS is not set: give the brokers as host:port, such as localhost:9092 "
            "(`make kafka` starts one for development)"
        )
    return settings.kafka.bootstrap_servers


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table of settings."""

    variable: str
    value: str
    source: str
    default: str
    description: str


def entries(settings: Settings) -> Iterator[Entry]:
    """Every setting: its variable, effective value (secrets masked), where that comes from, its default and meaning."""
    for section_name in Settings.model_fields:
        section: BaseSettings = getattr(settings, section_name)
        for name, field in type(section).model_fields.items():
            value, variable = getattr(section, name), _variable(type(section), name)
            yield Entry(
                variable=variable,
                value=_shown(value),
                source=_source(settings, section, name, variable),
                default=_shown(field.default),
                description=field.description or "",
            )


def _type_of(section: str) -> type[BaseSettings]:
    annotation = Settings.model_fields[section].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, BaseSettings)):
        raise TypeError(section)
    return annotation


def _section(section: type[S], problems: list[str], secrets: Path | None) -> S | None:
    try:
        return section(_secrets_dir=secrets)
    except ValidationError as error:
        problems.extend(_problem(section, e) for e in error.errors(include_url=False))
    except SettingsError as error:  # a secret file that cannot be read
        problems.append(str(error.__cause__ or error))
    return None


def _problem(section: type[BaseSettings], error: ErrorDetails) -> str:
    if not error["loc"]:  # a rule over several fields: its message names them
        return error["msg"].removeprefix("Value error, ")
    name = str(error["loc"][0])
    variable = _variable(section, name)
    secret = "Secret" in str(section.model_fields[name].annotation) if name in section.model_fields else True
    shown = "(secret)" if secret else repr(_without_secrets(str(os.environ.get(variable, error["input"]))))
    return f"{variable}={shown}: {error['msg']}"


def _variable(section: type[BaseSettings], name: str) -> str:
    return f"{section.model_config.get('env_prefix', '')}{name}".upper()


def _source(settings: Settings, section: BaseSettings, name: str, variable: str) -> str:
    if any(key.upper() == variable for key in os.environ):
        return "environment"
    if settings.secrets.holds(variable):
        return "secret file"
    if isinstance(section, Batches) and name in PRESETS.get(preset := _preset(section.preset) or "", {}):
        return f"preset {preset}"
    return "default"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, dict):
        return _without_secrets(json.dumps(value)) if value else ""
    return _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Without the password of an address, and the values of JSON fields that are called like a secret."""
    return _SECRET_FIELD.sub(r"\1********", _USER_INFO.sub(r"\1********@", text))
