"""What references that learn from samples are made of."""
