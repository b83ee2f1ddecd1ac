"""What every test can ask for."""

pytest_plugins = ["tests.kafka_broker", "tests.redis_server"]
