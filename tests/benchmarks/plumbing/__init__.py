"""What Kafka and the bookkeeping cost, against the peers: the engine answers at once."""
