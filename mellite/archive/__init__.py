"""What was generated before: replayed, listed, compared, counted and converted, with knowledge of vendors."""
