"""What the tests on a real broker can ask for; a file that wants another world has a fixture of its own."""

import pytest

from deploy.kafka.sources import Kafka
from tests.integration.world import World


@pytest.fixture
async def world(kafka: Kafka, topic_prefix: str) -> World:
    """Topics and a group of this test's own, with two partitions."""
    made = World(kafka.bootstrap_servers, topic_prefix, partitions=2)
    await made.create()
    return made
