"""Budgets that people made, what was counted on budgets, and which warnings were given.

What it is not: slices of limits (`store.limits`), or the logic of budgets.
"""
