"""What `benchmarks/cascade.py` runs: its settings, what must come of them, who asks, and how it is judged."""
