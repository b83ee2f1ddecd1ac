"""The short async shell that joins source, lanes, batcher, engine and publisher."""
