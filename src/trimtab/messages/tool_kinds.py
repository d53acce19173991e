"""Which tools of a Messages request the client runs itself; all others run, and bill, at the vendor.

Source: vendor tool reference (2026-11).
"""

CLIENT_TOOLS = (
    "bash_2",
    "text_editor_2",
    "computer_2",
    "computer_toolset_2",
    "memory_2",
    "browser_toolset_2",
)
"""Beginnings of the types of tools that the client runs, before their dates: they bill what is sent."""
