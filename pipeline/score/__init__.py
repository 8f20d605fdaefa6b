"""From scores to numbers, and from records to tables and figures."""
