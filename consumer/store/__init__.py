"""A lane's local state: in memory, or on disk. Its truth is the changelog: deleting a store loses nothing."""
