"""What the vendor refuses, said as the vendor says it. `prompt.read_prompt` runs these in order.

Each module takes raw JSON that msgspec decoded and raises `RequestError` with the field first. What depends on the
model comes from its catalogue row; no model id is named here. Where the vendor's own wording is public it is used;
otherwise the message says the same in plain words.
"""
