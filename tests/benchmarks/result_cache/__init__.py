"""What the result cache finds in real reviews, and what it saves."""
