"""Wire contracts: models, codec, topic names, Kafka connection settings.

Nothing in here imports the consumer or the producer: both sides, and anybody who reads the topics, may depend on it.
"""
