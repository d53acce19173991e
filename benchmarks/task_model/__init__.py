"""The task model of `benchmarks/phases.py`: its parameters, the agent at work, the surface and how it is drawn."""
