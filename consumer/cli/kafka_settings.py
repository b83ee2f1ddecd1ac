"""The settings of commands that use Kafka and are no service."""

import logging

from consumer import settings as _settings
from consumer.settings import Settings


def kafka_settings() -> Settings:
    """Raises ConfigError where they are wrong, or name no broker. aiokafka logs nothing from here on."""
    settings = _settings.load()
    _settings.require_bootstrap_servers(settings)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would log is in the error's message
    return settings
