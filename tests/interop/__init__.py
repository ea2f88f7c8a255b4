"""Our two sides against those of other libraries."""
