"""Batch requests: one restaurant a record, the same analyses as the stream's, a reply as soon as it is ready."""
